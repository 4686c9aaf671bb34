"""Makes the official SDK's package one that loads only what is asked for.

`import dropbox` runs the package's `__init__`, which loads every namespace of Dropbox's API: about
150 MB when Python compiles it, 25 MB later. The four namespaces used here need 16 and 4 MB. So the
package is registered as a module that imports its submodules on demand. Should another integration
in the same process ask it for anything else (`dropbox.Dropbox`, `dropbox.exceptions`), it becomes
the real package at that moment.
"""

from importlib.util import find_spec
import sys
from threading import RLock
from types import ModuleType
from typing import Any, override

_PACKAGE = "dropbox"
# Names that the import system itself asks a package for. They don't mean that somebody wants the
# real package.
_WANTS_REAL_PACKAGE = {"__all__", "__version__"}


class _LazyPackage(ModuleType):
    """A package that loads a submodule, or its own `__init__`, when it is first asked for."""

    _lock = RLock()
    _is_real = False

    @override
    def __getattr__(self, name: str) -> Any:  # Any: whatever the package holds under this name
        if name.startswith("__") and name not in _WANTS_REAL_PACKAGE:
            raise AttributeError(name)
        with self._lock:
            if name not in self.__dict__ and not _import_submodule(name):
                self._become_real()
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}") from None

    def _become_real(self) -> None:
        if _LazyPackage._is_real:
            return
        _LazyPackage._is_real = (
            True  # first: the package's `__init__` imports from this very module
        )
        spec = self.__spec__
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(self)


def _import_submodule(name: str) -> bool:
    """Import `dropbox.<name>`; tell whether there is such a module."""
    full_name = f"{_PACKAGE}.{name}"
    if find_spec(full_name) is None:
        return False
    __import__(full_name)
    return True


def register() -> None:
    """Put it in the place of `dropbox`, unless that has been imported already."""
    if _PACKAGE in sys.modules:
        return
    spec = find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    package = _LazyPackage(_PACKAGE)
    package.__spec__ = spec
    package.__loader__ = spec.loader
    package.__file__ = spec.origin
    package.__path__ = list(spec.submodule_search_locations)
    package.__package__ = _PACKAGE
    sys.modules[_PACKAGE] = package
