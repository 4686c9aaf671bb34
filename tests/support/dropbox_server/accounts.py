"""Who exists: apps as registered in Dropbox's App Console, and accounts with their namespaces."""

from __future__ import annotations

from dataclasses import dataclass, field
import hashlib
from pathlib import Path

from tests.support.dropbox_server import schema
from tests.support.dropbox_server.clock import Clock
from tests.support.dropbox_server.storage import FileTree

DEFAULT_QUOTA = 2 * 1024**4
DEFAULT_REDIRECT_URIS = (
    "http://127.0.0.1:8123/auth/external/callback",
    "http://localhost:8123/auth/external/callback",
    "http://homeassistant.local:8123/auth/external/callback",
    "https://my.home-assistant.io/redirect/oauth",
)


@dataclass(frozen=True, slots=True)
class DropboxApp:
    """An app registration. `scopes` are the permissions ticked in the App Console.

    An app with `app_folder` sees a folder of its own as its root, not the user's Dropbox.
    """

    key: str = "localappkey0001"
    secret: str = "localappsecret1"
    name: str = "Home Assistant Backup"
    redirect_uris: tuple[str, ...] = DEFAULT_REDIRECT_URIS
    scopes: tuple[str, ...] = schema.NEEDED_SCOPES
    app_folder: bool = False


@dataclass(slots=True, eq=False)
class DropboxAccount:
    """A user. `quota` is in bytes; `team` gives the account a team space above its home."""

    email: str = "ada@example.com"
    name: str = "Ada Example"
    quota: int = DEFAULT_QUOTA
    suspended: bool = False
    team: bool = False
    account_id: str = ""
    trees: dict[str, FileTree] = field(default_factory=dict, repr=False)
    _directory: Path | None = field(default=None, repr=False)
    _clock: Clock = field(default_factory=Clock, repr=False)

    def __post_init__(self) -> None:
        """Derive a stable account id (40 characters, as Dropbox's) from the e-mail address."""
        if not self.account_id:
            digest = hashlib.sha256(self.email.encode()).hexdigest()
            self.account_id = "dbid:" + digest[:35]

    @property
    def home_namespace(self) -> str:
        """Id of the namespace of the user's own files."""
        return str(int(hashlib.sha256(self.account_id.encode()).hexdigest()[:8], 16))

    @property
    def root_namespace(self) -> str:
        """Id of the namespace at the top: the team's, or the home."""
        return self.home_namespace + "1" if self.team else self.home_namespace

    @property
    def files(self) -> FileTree:
        """The user's own files."""
        return self.tree(self.home_namespace)

    @property
    def team_files(self) -> FileTree:
        """The team space (the home for a personal account)."""
        return self.tree(self.root_namespace)

    def app_files(self, app: DropboxApp) -> FileTree:
        """Return the files which `app` sees as its root."""
        if not app.app_folder:
            return self.files
        digest = hashlib.sha256(app.key.encode()).hexdigest()
        return self.tree(self.home_namespace + str(int(digest[:6], 16)))

    @property
    def used(self) -> int:
        """Bytes in use over all namespaces."""
        return sum(tree.used for tree in self.trees.values())

    def tree(self, namespace_id: str) -> FileTree:
        """Open a namespace."""
        if namespace_id not in self.trees:
            if self._directory is None:
                message = "the account belongs to no server yet: call add_account first"
                raise RuntimeError(message)
            self.trees[namespace_id] = FileTree(
                self._directory / namespace_id, namespace_id, self._clock
            )
        return self.trees[namespace_id]

    def attach(self, directory: Path, clock: Clock) -> None:
        """Bind the account to the server's folder and open what lies there."""
        self._directory = directory / hashlib.sha256(self.account_id.encode()).hexdigest()[:16]
        self._directory.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        for folder in self._directory.iterdir():
            if folder.name.isdigit():
                self.tree(folder.name)

    def close(self) -> None:
        """Close all namespaces."""
        for tree in self.trees.values():
            tree.close()
        self.trees.clear()
