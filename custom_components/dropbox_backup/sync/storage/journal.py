"""What must survive a restart of Home Assistant, in one file of its storage per account."""

from collections.abc import Callable

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util.hass_dict import HassKey

from ...const import DOMAIN
from ..decide.models import BackupId
from .file import StorageFile
from .notes import Notes
from .notes_format import parse_notes, write_notes

# In seconds.
_SAVE_DELAY = 1.0
JOURNALS: HassKey[dict[str, Journal]] = HassKey(f"{DOMAIN}_journals")


class Journal:
    """The notes of one account, saved soon after every change.

    `on_writable` is told when they can't be written any more, and when they can again.
    """

    def __init__(
        self, hass: HomeAssistant, name: str, file: Callable[..., StorageFile] = StorageFile
    ) -> None:
        """Nothing is read yet. `name`: that of the file, which `file` makes."""
        self.notes = Notes()
        # What Home Assistant is uploading itself: that outlives reloads, but no restart.
        self.handing_out: set[BackupId] = set()
        self.on_writable: Callable[[], None] = lambda: None
        self._file = file(
            hass,
            name,
            lambda: write_notes(self.notes),
            delay=_SAVE_DELAY,
            on_writable=self._tell_writable,
            urgent=True,
        )

    @property
    def writable(self) -> bool:
        """Tell whether what is to survive a restart could be written the last time."""
        return self._file.writable

    async def load(self) -> None:
        """Read what an earlier run wrote."""
        self.notes = parse_notes(await self._file.load())

    def changed(self) -> None:
        """Save the notes within a second."""
        self._file.changed()

    async def save(self) -> None:
        """Return when the notes as they are now have been written, if they can be."""
        await self._file.save()

    async def put_aside(self) -> None:
        """Keep what is to be known if the account is added again: its config entry is gone. An
        upload of Home Assistant's own may outlive it, and goes on taking notes.
        """
        self.notes.put_aside()
        await self.save()

    def _tell_writable(self) -> None:
        self.on_writable()


async def journal_of(hass: HomeAssistant, name: str) -> Journal:
    """Return the one journal of an account, also over reloads: an upload by Home Assistant outlives
    the reload, or the removal, of the entry that began it, and goes on taking notes.
    """
    journals = hass.data.setdefault(JOURNALS, {})
    if (journal := journals.get(name)) is None:
        journal = Journal(hass, name)
        await journal.load()
        journals[name] = journal
    return journal


async def folder_used_before(hass: HomeAssistant, name: str) -> str | None:
    """Return where the backups of an account went that is not set up now, if that is known."""
    try:
        # Not one of its own: that would go on writing what it has read into the same file.
        return (await journal_of(hass, name)).notes.folder
    except HomeAssistantError:  # a later version wrote it
        return None
