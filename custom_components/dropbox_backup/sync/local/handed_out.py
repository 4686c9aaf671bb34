"""What becomes of a backup that Home Assistant hands out because Dropbox is one of its locations.

Home Assistant encrypts on the way as well, but leaves out parts that it does not expect, and what
it takes for encrypted it hands out as it is.
"""

from collections.abc import Awaitable, Callable
import logging

from homeassistant.components.backup import AgentBackup, BackupAgentError

from ...codes import Reason
from ...dropbox_api.errors import CorruptError
from ...dropbox_api.upload.upload import Source
from ..archive.metadata import ArchiveError
from ..decide.models import RemoteBackup, Trouble
from .backups import LocalBackups
from .encrypted_source import EncryptedSource
from .sources import as_in_dropbox
from .stream_source import OpenStream, ReadableError, StreamSource, UnexaminedError

_LOGGER = logging.getLogger(__name__)

type Upload = Callable[[AgentBackup, Source], Awaitable[RemoteBackup]]


async def upload_whole(
    local: LocalBackups,
    backup: AgentBackup,
    open_stream: OpenStream,
    password: str | None,
    upload: Upload,
    on_unexamined: Callable[[], None],
) -> RemoteBackup:
    """Call `upload` with the bytes that are to lie in Dropbox; return what it returns.

    With a password nothing that is known to be readable goes there, whatever Home Assistant says of
    it. What has to be encrypted is taken from the copy that lies here, whole, if there is one.
    `on_unexamined` is called before something is uploaded of which nobody can tell whether it is
    readable: there may be no other copy. Raises what `upload` raises, and `CorruptError` if what is
    readable can't be told.
    """
    own = await local.source_of_copy(backup, password) if password is not None else None
    if own is not None and isinstance(own[1], EncryptedSource):
        try:
            return await upload(*own)
        except (BackupAgentError, OSError) as err:
            _LOGGER.info("%s can't be read here, Home Assistant hands it out: %s", backup.name, err)
    stream = StreamSource(open_stream, backup.size, secret=password is not None)
    try:
        return await upload(backup, stream)
    except ReadableError:
        _LOGGER.info("%s is handed out readable, and encrypted on its way", backup.name)
    except UnexaminedError:
        if own is not None:
            try:
                return await upload(*own)
            except (BackupAgentError, OSError) as err:
                _LOGGER.info("%s can't be read here either: %s", backup.name, err)
        _LOGGER.warning("It can't be told whether %s is encrypted", backup.name)
        on_unexamined()
        return await upload(backup, StreamSource(open_stream, backup.size))
    try:
        contents = await stream.contents()
    except ArchiveError as err:
        raise CorruptError(Reason.of(Trouble.NOT_ENCRYPTABLE, reason=err.why)) from err
    return await upload(*as_in_dropbox(stream, backup, contents, password))
