"""Whatever happens to the folder between any two of our requests, the safety rules hold."""

import asyncio
from collections.abc import Coroutine
from typing import Any, override
from unittest.mock import patch

from homeassistant.util import dt as dt_util
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
import pytest

from custom_components.dropbox_backup.dropbox_api import concurrency
from tests.conftest import THOROUGH
from tests.faults.storm.virtual_time import VirtualTimeLoop
from tests.faults.storm.world import Act, StormyWorld
from tests.support.memory_home import LARGE, SMALL

_which = st.integers(0, 12)
_flag = st.booleans()
_size = st.sampled_from([SMALL] * 4 + [LARGE])


def _act(name: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Act]:
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


# What others do, at rest or between two requests.
_acts = st.one_of(
    _act("make", size=_size, signed=_flag),
    _act("make", size=_size, signed=_flag),
    _act("delete", which=_which),
    _act("delete", which=_which),
    _act("delete_on_page", which=_which, here_too=_flag),
    _act("delete_on_page", which=_which, here_too=_flag),
    _act("delete_on_its_way", which=_which),
    _act("hand_out", size=_size, stays=_flag),
    _act("hand_out_again", which=_which),
    _act("ask_for", which=_which),
    _act("cut", which=_which, same_size=_flag),
    _act("sync_tool", which=_which, our_name=_flag, same_size=_flag),
    _act("restore", which=_which),
    _act("rename", which=_which),
    _act("copy", which=_which),
    _act("move_in", count=st.sampled_from([1, 2, 5, 20])),
    _act("lose_local", which=_which),
    _act("neighbour"),
    _act("letter"),
    _act("delete_folder"),
)
# What only a request meets.
_troubles = st.one_of(
    _act("unreachable"),
    _act("power"),
    _act("reset"),
    _act("damage"),
    _act("page", size=st.sampled_from([1, 2, 1000])),
)
_moments = st.lists(st.tuples(st.integers(0, 9), _acts | _troubles), min_size=1, max_size=4)


class Storm(RuleBasedStateMachine):
    """Hypothesis draws what happens, and makes it as short as it can when a rule is broken."""

    def __init__(self) -> None:
        """Begin with an empty folder."""
        super().__init__()
        self._loop = VirtualTimeLoop()
        self.world = StormyWorld(self._loop)
        self._patches = (
            patch.object(dt_util, "utcnow", self.world.our_now),
            # The same pace on every machine.
            patch.object(concurrency, "time", _Time(self._loop)),
        )
        for one in self._patches:
            one.start()
        self._run(self.world.begin())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._loop.run_until_complete(work)
        assert not self.world.broken, "; ".join(self.world.broken)

    @override
    def teardown(self) -> None:
        try:
            if not self.world.broken:
                self._run(self.world.calm())
        finally:
            self._loop.run_until_complete(self.world.end())
            self._loop.close()
            for one in self._patches:
                one.stop()

    @rule(act=_acts)
    def something_happens(self, act: Act) -> None:
        self._run(self.world.do(act))

    @rule(acts=_moments)
    def things_happen_between_requests(self, acts: list[tuple[int, Act]]) -> None:
        self.world.arm(acts)
        self._run(self.world.check())

    @rule(act=_acts, acts=_moments)
    def things_happen_while_we_react(self, act: Act, acts: list[tuple[int, Act]]) -> None:
        self.world.arm(acts)
        self._run(self.world.do(act))

    @rule(nights=st.integers(1, 4))
    def nights_pass(self, nights: int) -> None:
        for _ in range(nights):
            self._run(self.world.do(("make", {"size": SMALL, "signed": True})))

    @rule(hours=st.sampled_from([1, 30]))
    def time_passes(self, hours: int) -> None:
        self._run(self.world.settle(hours * 3600.0))

    @rule(count=st.integers(0, 4))
    def options_change(self, count: int) -> None:
        self._run(self.world.keep(count))

    @rule(which=_which)
    def pin(self, which: int) -> None:
        self._run(self.world.pin(which))

    @rule(agree=_flag)
    def answer(self, agree: bool) -> None:
        self._run(self.world.answer(agree=agree))

    @rule()
    def calm(self) -> None:
        self._run(self.world.calm())


class StormOfClocks(Storm):
    """The same with clocks that are wrong.

    Which backup is the newest is not always decided then: by a clock that was put back, a later one
    may be the older one. So this finds what goes wrong with dates, and is not expected to find
    nothing; what must hold with wrong clocks has tests of its own below.
    """

    @rule(hours=st.sampled_from([-100, 0, 0, 24 * 365 * 10]))
    def the_clock_is_set(self, hours: int) -> None:
        self._run(self.world.do(("clock", {"hours": hours})))

    @rule(days=st.sampled_from([2, 3650]))
    def a_night_passes_with_a_wrong_clock(self, days: int) -> None:
        self._run(self.world.do(("clock", {"hours": days * 24})))
        self.nights_pass(1)
        self._run(self.world.do(("clock", {"hours": 0})))


@pytest.mark.parametrize("days", [(3650, 3650, 3650, 2), (2, 2, 2, 2)])
def test_wrong_clocks_have_nothing_uploaded_and_deleted_for_ever(days: tuple[int, ...]) -> None:
    storm = StormOfClocks()
    try:
        for ahead in days:
            storm.a_night_passes_with_a_wrong_clock(ahead)
        storm.calm()
        before = storm.world.uploads
        storm.calm()
        assert storm.world.uploads == before
    finally:
        storm.teardown()


def test_a_clock_that_is_always_ahead_has_nothing_uploaded_and_deleted_for_ever() -> None:
    storm = StormOfClocks()
    try:
        storm.something_happens(("clock", {"hours": 48}))
        storm.nights_pass(4)
        before = storm.world.uploads
        storm.things_happen_between_requests([])
        storm.things_happen_between_requests([])
        assert storm.world.uploads == before
    finally:
        storm.teardown()


class _Time:
    """Python's module, of a machine that computes in no time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.monotonic = loop.time

    @staticmethod
    def thread_time() -> float:
        return 0.0


@pytest.mark.timeout(900)
def test_no_storm_breaks_a_safety_rule() -> None:
    run_state_machine_as_test(
        Storm,
        # The same histories each time, so that a change is blamed only for what it does itself.
        # Others are drawn, and many more, where there is time.
        settings=settings(
            max_examples=2000 if THOROUGH else 150,
            stateful_step_count=15,
            derandomize=not THOROUGH,
        ),
    )
