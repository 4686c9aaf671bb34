"""What a backup archive says of itself, read from the archive or from JSON made of it; and whether
it is whole.

Anything may lie under the name of an archive: what is read of it has bounds.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
import io
from pathlib import Path, PurePath
import tarfile
from typing import Any, Protocol, override

from homeassistant.components.backup import AddonInfo, AgentBackup, Folder
import voluptuous as vol

from ... import untrusted
from ...codes import Code, CodedError, Reason

# Far more than any real one has. Longer means something else lies there under that name.
LARGEST_METADATA = 4 * 1024 * 1024
_MOST_MEMBERS = 10_000
_MOST_READ = 32 * 1024 * 1024
_MOST_ADDONS = 1000
_MOST_EXTRAS = 100
# Where Supervisor's `backup.json`, its last member, is looked for first.
_ENDING = 256 * 1024
_METADATA_NAME = PurePath("backup.json")
_PLAIN_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE}
_LONGEST_FIELD = 100
_TAR_BLOCK = 512


class ArchiveFault(Code):
    """What is wrong with an archive."""

    NOT_READABLE = "archive_not_readable"
    NOT_WHOLE = "archive_not_whole"
    CUT_OFF = "archive_cut_off"
    TOO_MANY_FILES = "too_many_files"
    HEADER_TOO_LARGE = "header_too_large"
    HEADER_UNREADABLE = "header_unreadable"
    WRONG_SIZE = "wrong_size"
    HOLES = "file_with_holes"
    NO_METADATA = "no_backup_json"
    METADATA_NO_FILE = "backup_json_no_file"
    METADATA_TOO_LARGE = "backup_json_too_large"
    METADATA_WRONG = "backup_json_wrong"
    CHANGED = "changed_while_read"
    GREW = "grew_when_encrypted"


class ArchiveError(CodedError):
    """The file is not a whole Home Assistant backup. What a library said of it is the cause, which
    is for the log.
    """


class Seekable(Protocol):
    """A file that can be read anywhere."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, fewer only at the end."""

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Go there; return where that is."""

    def tell(self) -> int:
        """Return where we are."""


@contextmanager
def _in_our_words() -> Generator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, RecursionError) as err:
        raise ArchiveError(ArchiveFault.NOT_READABLE) from err


def _extra_metadata(value: object) -> dict[str, bool | str]:
    """Keep what fits Home Assistant's model: peers have written `null` here."""
    if not isinstance(value, dict):
        return {}
    read = untrusted.readable(_extra, tuple(value.items()), _MOST_EXTRAS)
    return dict(read)


def _extra(item: tuple[object, object]) -> tuple[str, bool | str]:
    key, value = item
    return untrusted.exact(key), value if isinstance(value, bool) else untrusted.text(value)


def _folders(value: object) -> list[Folder]:
    """Keep the folders that this version of Home Assistant knows."""
    known = {folder.value: folder for folder in Folder}
    names = value if isinstance(value, list) else []
    found = [known[name] for name in names if isinstance(name, str) and name in known]
    return list(dict.fromkeys(found))


def _addons(value: object) -> list[AddonInfo]:
    return [
        AddonInfo(name=addon["name"], slug=addon["slug"], version=addon["version"])
        for addon in _ADDONS(value or [])
    ]


_maybe_text = untrusted.optional(untrusted.text)
_ADDONS = vol.All(
    vol.Length(max=_MOST_ADDONS),
    vol.Schema(
        [
            vol.Schema(
                {
                    vol.Required("slug"): untrusted.text,
                    vol.Optional("name", default=None): _maybe_text,
                    vol.Optional("version", default=None): _maybe_text,
                },
                extra=vol.REMOVE_EXTRA,
            )
        ]
    ),
)
# The form of `AgentBackup.as_dict()`, which Home Assistant's own cloud locations write as well.
_AGENT_BACKUP = vol.Schema(
    {
        vol.Optional("addons", default=list): _addons,
        vol.Required("backup_id"): untrusted.exact,
        vol.Required("date"): untrusted.text,
        vol.Optional("database_included", default=False): untrusted.flag,
        vol.Optional("extra_metadata", default=dict): _extra_metadata,
        vol.Optional("folders", default=list): _folders,
        vol.Optional("homeassistant_included", default=False): untrusted.flag,
        vol.Optional("homeassistant_version", default=None): _maybe_text,
        vol.Required("name"): untrusted.text,
        vol.Optional("protected", default=False): vol.All(vol.Any(None, bool), bool),
        vol.Required("size"): untrusted.size,
    },
    extra=vol.REMOVE_EXTRA,
)
# The form of `backup.json`, as Core's and Supervisor's `backup` write it
# (homeassistant/components/backup/util.py).
_BACKUP_JSON = vol.Schema(
    {
        vol.Required("slug"): untrusted.exact,
        vol.Required("name"): untrusted.text,
        vol.Required("date"): untrusted.text,
        vol.Optional("addons", default=list): vol.Any(None, list),
        vol.Optional("folders", default=list): vol.Any(None, list),
        vol.Optional("homeassistant", default=None): vol.Any(None, dict),
        vol.Optional("extra", default=dict): _extra_metadata,
        vol.Optional("protected", default=False): vol.Any(None, bool),
    },
    extra=vol.REMOVE_EXTRA,
)


def backup_from_dict(value: object) -> AgentBackup:
    """Return the backup that `AgentBackup.as_dict()` described. Raises `ArchiveError`."""
    try:
        return AgentBackup(**_AGENT_BACKUP(value))
    except vol.Invalid as err:
        raise _wrong_metadata(err) from err


def _wrong_metadata(err: vol.Invalid) -> ArchiveError:
    # The path may name what was found in the archive.
    field = untrusted.presentable("/".join(map(str, err.path)))[:_LONGEST_FIELD]
    return ArchiveError(Reason.of(ArchiveFault.METADATA_WRONG, field=field or "/"))


def backup_from_json(text: bytes, size: int) -> AgentBackup:
    """Return the backup that a `backup.json` describes. Raises `ArchiveError`."""
    try:
        data: dict[str, Any] = _BACKUP_JSON(untrusted.json_object(text))
    except vol.Invalid as err:
        raise _wrong_metadata(err) from err
    except untrusted.UntrustedError as err:
        raise ArchiveError(Reason.of(ArchiveFault.METADATA_WRONG, field="/")) from err
    core = data["homeassistant"] or {}
    return backup_from_dict(
        {
            "addons": data["addons"],
            "backup_id": data["slug"],
            "database_included": "version" in core and not core.get("exclude_database"),
            "date": data["extra"].get("supervisor.backup_request_date", data["date"]),
            "extra_metadata": data["extra"],
            "folders": data["folders"],
            "homeassistant_included": "version" in core,
            "homeassistant_version": core.get("version"),
            "name": data["name"],
            "protected": bool(data["protected"]),
            "size": size,
        }
    )


def checked(backup: AgentBackup) -> AgentBackup:
    """Return a backup that Home Assistant passes on as `presentable` does, if nothing of it has to
    be left out. Raises `ArchiveError`.
    """
    # Not `as_dict`: it follows any nesting.
    values = {item.name: getattr(backup, item.name) for item in fields(AgentBackup)}
    return backup_from_dict({**values, "addons": [vars(addon) for addon in backup.addons]})


def presentable(backup: AgentBackup) -> AgentBackup:
    """Return the backup with values that can be shown, whatever Home Assistant passes on from a
    file: Core's agent checks no types.
    """
    try:
        return checked(backup)
    except ArchiveError:
        return replace(
            backup,
            addons=[],
            backup_id=untrusted.presentable(str(backup.backup_id)[: untrusted.LONGEST_ID]),
            database_included=backup.database_included is True,
            date=untrusted.presentable(str(backup.date)[: untrusted.LONGEST_ID]),
            extra_metadata=_extra_metadata(backup.extra_metadata),
            folders=_folders(backup.folders),
            homeassistant_included=backup.homeassistant_included is True,
            homeassistant_version=None,
            name=untrusted.presentable(str(backup.name)[: untrusted.LONGEST_ID]),
            protected=backup.protected is True,
            size=untrusted.or_none(untrusted.size, backup.size) or 0,
        )


@_in_our_words()
def read_metadata(archive: Seekable, size: int) -> AgentBackup:
    """Return what an archive of this size says of itself. Raises `ArchiveError`; what `archive`
    raises comes through. Blocking.

    Core writes `backup.json` first, Supervisor last: so the first member is looked at, then the
    end, and only then one member after the other.
    """
    first = True
    for member, tar in _members(archive):
        if PurePath(member.name) == _METADATA_NAME:
            return _read_member(tar, member, size)
        if first and (backup := _read_ending(archive, size, member.name)) is not None:
            return backup
        first = False
    raise ArchiveError(ArchiveFault.NO_METADATA)


def _read_member(tar: tarfile.TarFile, member: tarfile.TarInfo, size: int) -> AgentBackup:
    # Not a link: it would be looked for in the whole archive.
    if not _is_plain(member) or member.size > LARGEST_METADATA:
        raise ArchiveError(ArchiveFault.METADATA_NO_FILE)
    reader = tar.extractfile(member)
    assert reader is not None  # it is a file
    return backup_from_json(reader.read(), size)


def _read_ending(archive: Seekable, size: int, first_member: str) -> AgentBackup | None:
    """Return what Supervisor's `backup.json` says if it is the last member; None if that can't be
    told for sure.

    An archive of archives ends in the same way as the last one in it: so the first member must be
    one that the found metadata speaks of.
    """
    start = max(0, size - _ENDING) // _TAR_BLOCK * _TAR_BLOCK
    archive.seek(start)
    ending = archive.read(size - start)
    filled = len(ending.rstrip(b"\0"))
    for at in range(filled // _TAR_BLOCK * _TAR_BLOCK, -1, -_TAR_BLOCK):
        header = _header(ending[at : at + _TAR_BLOCK])
        if header is None or not _is_plain(header):
            continue
        end = at + _TAR_BLOCK + header.size
        if not filled <= end <= len(ending):
            return None  # it is not the last
        try:
            backup = backup_from_json(ending[at + _TAR_BLOCK : end], size)
        except ArchiveError:
            return None
        return backup if _inner_name(first_member) in _inner_names(backup) else None
    return None


def _header(block: bytes) -> tarfile.TarInfo | None:
    """Return the header of a `backup.json` that this block is, if it is one."""
    if bytes(_METADATA_NAME) not in block:
        return None  # the quick answer, mostly
    try:
        header = tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
    except tarfile.TarError, ValueError:
        return None
    return header if PurePath(header.name) == _METADATA_NAME else None


def _is_plain(member: tarfile.TarInfo) -> bool:
    return member.type in _PLAIN_FILES and not member.issparse()


def _inner_name(member: str) -> str:
    return member.removesuffix(".gz").removesuffix(".tar")


def _inner_names(backup: AgentBackup) -> set[str]:
    """Return what Supervisor calls the archives in an archive."""
    folders = {folder.value.replace("/", "_") for folder in Folder}
    addons = {addon.slug for addon in backup.addons}
    return {"homeassistant", "supervisor"} | folders | addons


def _members(archive: Seekable) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """Yield the members of an archive, and the archive to read them from. Raises `ArchiveError`.

    What is read and kept of the headers has bounds, which Python's module does not have.
    """
    archive.seek(0)
    with tarfile.TarFile(fileobj=_Bounded(archive), mode="r", stream=True) as tar:
        for _ in range(_MOST_MEMBERS):
            if (member := tar.next()) is None:
                return
            yield member, tar
    raise ArchiveError(ArchiveFault.TOO_MANY_FILES)


class _Bounded(io.RawIOBase):
    """A file of which not much may be read, nor much at once."""

    def __init__(self, file: Seekable) -> None:
        self._file = file
        self._left = _MOST_READ

    @override
    def read(self, size: int = -1, /) -> bytes:
        self._left -= size
        if not 0 <= size <= LARGEST_METADATA + _TAR_BLOCK or self._left < 0:
            raise ArchiveError(ArchiveFault.HEADER_TOO_LARGE)
        return self._file.read(size)

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    @override
    def tell(self) -> int:
        return self._file.tell()


@_in_our_words()
def check_whole(path: Path) -> None:
    """Raise `ArchiveError` unless the archive at `path` has its end. `OSError` comes through.
    Blocking.

    Home Assistant writes to the final name at once, so a backup that failed or that is still being
    written looks like a good one: its `backup.json` comes first.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        end = 0
        for member, _ in _members(file):
            blocks = -(-member.size // _TAR_BLOCK)
            end = member.offset_data + blocks * _TAR_BLOCK
            if end > size:
                raise ArchiveError(ArchiveFault.CUT_OFF)
        file.seek(end)
        closing = file.read(2 * _TAR_BLOCK)
    if size % _TAR_BLOCK or closing != bytes(2 * _TAR_BLOCK):
        raise ArchiveError(ArchiveFault.NOT_WHOLE)
