"""Somebody who acts exactly between two requests: right before Dropbox gets one, or when it has
answered and we have not heard of it yet.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from custom_components.dropbox_backup.dropbox_api.client import DropboxClient

type Act = Callable[[], Awaitable[object] | object]


class Between:
    """Acts at the next call of a method of `DropboxClient`, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Do nothing yet."""
        self._monkeypatch = monkeypatch

    def before(self, method: str, act: Act, *, skip: int = 0) -> None:
        """Act when the call is about to be made; `skip`: let so many go first."""
        self._patch(method, act, skip, first=True)

    def after(self, method: str, act: Act, *, skip: int = 0) -> None:
        """Act when Dropbox has answered."""
        self._patch(method, act, skip, first=False)

    def _patch(self, method: str, act: Act, skip: int, *, first: bool) -> None:
        call = getattr(DropboxClient, method)
        left = [skip]

        async def watched(self: DropboxClient, *args: Any, **more: Any) -> Any:  # Any: any method
            left[0] -= 1
            now = left[0] == -1
            if now and first:
                await _do(act)
            result = await call(self, *args, **more)
            if now and not first:
                await _do(act)
            return result

        self._monkeypatch.setattr(DropboxClient, method, watched)


async def _do(act: Act) -> None:
    done = act()
    if isinstance(done, Awaitable):
        await done
