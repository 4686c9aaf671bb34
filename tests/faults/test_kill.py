"""SIGKILL to a real Home Assistant, at any moment: no backup is lost, doubled or half there."""

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
import random
from typing import Any

import pytest
import pytest_socket

from tests.support.dropbox_server import Fault, FaultKind
from tests.support.house import MIB, House

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.usefixtures("socket_enabled"),
    # Nobody knows how many kills are asked for; whatever a house waits for has its own limit.
    pytest.mark.timeout(0),
]


class Watched:
    """A house with an event loop of its own, because it outlives the tests and theirs."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        self.house = house
        self._loop = loop

    def run[T](self, story: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(story)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    pytest_socket.enable_socket()
    loop = asyncio.new_event_loop()
    # A thread that is there from the start is none that a test left behind.
    executor = ThreadPoolExecutor(1)
    executor.submit(bool).result()
    loop.set_default_executor(executor)
    opened = House.open(tmp_path_factory.mktemp("house"))
    try:
        house = loop.run_until_complete(opened.__aenter__())
        try:
            yield Watched(house, loop)
        finally:
            loop.run_until_complete(opened.__aexit__(None, None, None))
    finally:
        executor.shutdown()
        loop.close()


def held(route: str, when: str, *, after_bytes: int = 0, skip: int = 0) -> Fault:
    """Stand still at a request until somebody is killed: before, during or after the work."""
    seconds = 120.0
    return Fault(
        FaultKind.STALL, route, seconds=seconds, when=when, after_bytes=after_bytes, skip=skip
    )


def test_kill_while_a_small_backup_is_sent_in_one_request(watched: Watched) -> None:
    async def story(house: House) -> None:
        archive = await house.make_backup(2 * MIB)
        await house.cut_power_at(held("files/upload", "during", after_bytes=MIB))
        await house.cut_power_at(held("files/upload", "after"))
        await house.check_arrived(archive)

    watched.run(story(watched.house))


def test_kill_at_every_step_from_the_first_chunk_to_retention(watched: Watched) -> None:
    async def story(house: House) -> None:
        archive = await house.make_backup(18 * MIB)
        for step in (
            # The file is there, and nobody was told.
            held("files/upload_session/finish", "after"),
            # This one is the catalog.
            held("files/upload", "before"),
            held("files/delete_v2", "before"),
            held("files/delete_v2", "after"),
        ):
            await house.cut_power_at(step)
        await house.check_arrived(archive)

    watched.run(story(watched.house))


def test_kills_at_random_moments_of_an_upload(
    watched: Watched, lot: random.Random, pytestconfig: pytest.Config
) -> None:
    async def story(house: House, kills: int) -> None:
        archive = await house.make_backup(lot.randint(60, 100) * MIB)
        for _ in range(kills):
            await house.cut_power_after(lot.uniform(0, house.seconds_to_send(archive)))
        await house.check_arrived(archive)

    kills: int = pytestconfig.getoption("--kills")
    while kills:
        some = lot.randint(1, min(4, kills))
        watched.run(story(watched.house, some))
        kills -= some


def test_kills_during_an_upload_that_is_encrypted_on_its_way(
    watched: Watched, lot: random.Random
) -> None:
    async def story(house: House) -> None:
        await house.encrypt_from_now_on()
        archive = await house.make_backup(lot.randint(60, 80) * MIB)
        for _ in range(3):
            await house.cut_power_after(lot.uniform(0, house.seconds_to_send(archive)))
        await house.check_arrived(archive)

    watched.run(story(watched.house))
