"""Adds up how long the main thread of a Home Assistant runs code of one integration, and all that
this code calls. Python loads this at its start when the folder is in PYTHONPATH.

Writes JSON to $LOOPTIME_FILE several times a second: CPU seconds in all, and of the longest time
without giving the event loop back.
"""

import json
import os
from pathlib import Path
import sys
import threading
import time
from types import CodeType

_OURS = os.path.join("custom_components", "dropbox_backup") + os.sep  # noqa: PTH118
_EVERY = 0.2


class _LoopTime:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._main = threading.get_ident()
        self._depth = 0
        self._begun = 0.0
        self._total = self._longest = 0.0

    def watch(self) -> None:
        """Begin."""
        tool, events = sys.monitoring, sys.monitoring.events
        tool.use_tool_id(tool.PROFILER_ID, "looptime")
        for event in (events.PY_START, events.PY_RESUME, events.PY_THROW):
            tool.register_callback(tool.PROFILER_ID, event, self._enter)
        for event in (events.PY_RETURN, events.PY_YIELD, events.PY_UNWIND):
            tool.register_callback(tool.PROFILER_ID, event, self._leave)
        tool.set_events(
            tool.PROFILER_ID,
            events.PY_START
            | events.PY_RESUME
            | events.PY_THROW
            | events.PY_RETURN
            | events.PY_YIELD
            | events.PY_UNWIND,
        )
        threading.Thread(target=self._write, daemon=True).start()

    def _enter(self, code: CodeType, _offset: int, *rest: object) -> object:
        if _OURS not in code.co_filename:
            # Of this place nothing is reported again. An exception thrown in can't be switched off.
            return None if rest else sys.monitoring.DISABLE
        if threading.get_ident() == self._main:
            self._depth += 1
            if self._depth == 1:
                self._begun = time.thread_time()
        return None

    def _leave(self, code: CodeType, _offset: int, result: object) -> object:
        if _OURS not in code.co_filename:
            return None if isinstance(result, BaseException) else sys.monitoring.DISABLE
        if threading.get_ident() == self._main and self._depth:
            self._depth -= 1
            if self._depth == 0:
                seconds = time.thread_time() - self._begun
                self._total += seconds
                self._longest = max(self._longest, seconds)
        return None

    def _write(self) -> None:
        draft = self._file.with_suffix(".new")
        while True:
            time.sleep(_EVERY)
            draft.write_text(json.dumps({"total": self._total, "longest": self._longest}))
            draft.replace(self._file)


if (_file := os.environ.get("LOOPTIME_FILE")) is not None:
    _LoopTime(Path(_file)).watch()
