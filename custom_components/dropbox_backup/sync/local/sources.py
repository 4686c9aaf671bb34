"""The bytes of a backup that is to be uploaded, as they are to lie in Dropbox."""

from dataclasses import replace

from homeassistant.components.backup import AgentBackup

from ...dropbox_api.upload.source import Source
from ..archive.contents import Contents
from ..decide.models import Protection
from .encrypted_source import EncryptedSource
from .local_source import LocalSource
from .stream_source import StreamSource


def as_in_dropbox[S: (LocalSource, StreamSource)](
    source: S, backup: AgentBackup, contents: Contents, password: str | None
) -> tuple[AgentBackup, S | EncryptedSource]:
    """Return a backup and its bytes as they are to lie in Dropbox.

    With a password all that is readable is encrypted on its way. `protected` then says what the
    bytes are, not what Home Assistant says of them.
    """
    if password is not None and contents.to_encrypt(flagged=backup.protected):
        encrypted = EncryptedSource(source, contents, password, flagged=backup.protected)
        return replace(backup, protected=True, size=encrypted.size), encrypted
    source.protection = contents.protection
    return source.protection.noted_in(backup), source


def arrived(backup: AgentBackup, source: Source) -> tuple[AgentBackup, Protection]:
    """Return a backup whose bytes have been read to their end, and what they are: `protected` then
    says that, not what Home Assistant says of it.
    """
    protection = Protection.UNKNOWN
    if isinstance(source, LocalSource | StreamSource | EncryptedSource):
        protection = source.protection
    return protection.noted_in(backup), protection
