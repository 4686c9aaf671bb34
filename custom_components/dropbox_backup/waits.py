"""How long we wait for what, in one table. For how long a failing call is tried again is in
`RETRY_FOR`: that depends on who waits.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class Waits:
    """In seconds. Only tests have others, see `tests/support/waits.py`."""

    # Before a failing call is tried again. They double, from the first to the longest.
    first_retry: float = 0.5
    longest_retry: float = 60.0
    # When Dropbox asks us to. It asks for some seconds, or a few minutes; a proxy on the way, or a
    # broken clock, can ask for anything. Who comes back too early is told again, who never comes
    # back uploads nothing.
    longest_rest: float = 15 * 60.0
    # Nothing moved for so long: the connection is dead. Small enough to notice, large enough for a
    # line that stutters.
    for_movement: float = 60.0
    # A deadline is moved at most so often: it costs a timer each time.
    deadline_step: float = 1.0

    # One backup causes several events: let them come together.
    debounce: float = 1.0
    # Until the worker begins again after an error of its own.
    after_bug: float = 60.0
    # Several changes often come together, and Dropbox may need a moment to show them.
    after_change: float = 2.0
    # Until the watch of the folder begins again. No hurry: the worker also looks.
    after_trouble: float = 60.0
    # Longer than that nobody waits for archives that others put there: what is to be uploaded has
    # to go.
    for_archives: float = 10.0
    # Before an archive that could not be read is read again. They double as well.
    first_rereading: float = 300.0
    longest_rereading: float = 6 * 3600.0
    # A person waits for the answer of a sign-in or a folder.
    for_answer: float = 60.0
    # The same, for what is only offered.
    for_search: float = 5.0
    # Between two snapshots that show nothing but progress.
    between_snapshots: float = 1.0
    # Between two questions whether Supervisor is back, or has ended what it said it began.
    between_questions: float = 30.0


WAITS: Final = Waits()
