"""Path forms: `/x`, `id:...`, `id:.../x`, `rev:...`, `ns:123/x`, and `""` for the root."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.dropbox_server.calls import Call
from tests.support.dropbox_server.entries import StoredFile, StoredFolder
from tests.support.dropbox_server.storage import FileTree, NotFoundError


@dataclass(frozen=True, slots=True)
class Target:
    """A path within a namespace; `revision` is set for `rev:` forms."""

    tree: FileTree
    path: str
    revision: StoredFile | None = None

    def entry(self) -> StoredFile | StoredFolder:
        """Return what is there; raises NotFoundError and PathRefusedError."""
        return self.revision or self.tree.get(self.path)

    def file(self) -> StoredFile:
        """Return the file that is there; raises NotFoundError (`not_file`) and PathRefusedError."""
        return self.revision or self.tree.get_file(self.path)


def resolve(call: Call, path: str, *, root: bool = False, field: str = "path") -> Target:
    """Resolve any path form; raises NotFoundError, and the 400 for a wrong name of the root.

    The root is allowed only where `root` says so, and is `""`, never `"/"`.
    """
    if path == "/":
        message = (
            'Specify the root folder as an empty string rather than as "/".'
            if root
            else "The root folder is unsupported."
        )
        raise call.bad_input(f"{field}: {message}")
    tree = call.tree
    if path.startswith("rev:"):
        revision = tree.revisions.get(path.removeprefix("rev:"))
        if revision is None:
            raise NotFoundError
        return Target(tree, revision.path, revision)
    if path.startswith("ns:"):
        namespace, slash, rest = path.removeprefix("ns:").partition("/")
        if namespace not in call.account.trees:
            raise NotFoundError
        tree, path = call.account.trees[namespace], slash + rest
        if path in {"", "/"} and not root:
            raise call.bad_input(f"{field}: The root folder is unsupported.")
        return Target(tree, "" if path == "/" else path)
    if path.startswith("id:"):
        file_id, slash, rest = path.partition("/")
        entry = tree.by_id(file_id)
        if entry is None:
            raise NotFoundError
        return Target(tree, entry.path + slash + rest)
    return Target(tree, path)
