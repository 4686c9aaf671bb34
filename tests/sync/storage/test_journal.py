"""The journal survives a restart, and nonsense in its place."""

from dataclasses import fields
import json
import os
from pathlib import Path
from typing import Any

from homeassistant.core import HomeAssistant
from hypothesis import given, strategies as st
import pytest

from custom_components.dropbox_backup.codes import Bytes, Count, Reason, Value, all_codes
from custom_components.dropbox_backup.const import DOMAIN
from custom_components.dropbox_backup.dropbox_api.upload.upload import UploadSession
from custom_components.dropbox_backup.sync.archive.encryption import Root
from custom_components.dropbox_backup.sync.decide.consent import Answer
from custom_components.dropbox_backup.sync.decide.models import BackupId, Missed
from custom_components.dropbox_backup.sync.storage.journal import (
    JOURNALS,
    Journal,
    folder_used_before,
    journal_of,
)
from custom_components.dropbox_backup.sync.storage.notes import Commit, Notes, Results
from custom_components.dropbox_backup.sync.storage.notes_format import parse_notes, write_notes
from custom_components.dropbox_backup.sync.storage.write_hold import write_hold_of
from tests.support.backups import FIRST_DAY, json_values, shown
from tests.support.english import told

moment = st.just(FIRST_DAY)
ids = st.text(shown, min_size=1, max_size=10).map(BackupId)
texts = st.text(shown, max_size=20)
words = st.text(shown, min_size=1, max_size=10)
dates = st.none() | moment
sessions = st.builds(
    UploadSession,
    session_id=st.text(shown, min_size=1, max_size=20),
    size=st.integers(0, 2**40),
    chunk_size=st.integers(1, 2**30),
    arrived=st.integers(0, 1000),
    hash_state=st.text(shown, max_size=64),
    ahead=st.dictionaries(st.integers(0, 100), st.text(shown, max_size=10), max_size=5),
    etag=st.none() | st.text(shown, min_size=1, max_size=20),
)
commits = st.builds(
    Commit,
    name=words,
    content_hash=words,
    size=st.integers(0, 2**40),
    modified=moment,
    noted=moment,
    unwanted=st.booleans(),
)
revisions = st.tuples(words, words)
answers = st.builds(
    Answer,
    keep=st.integers(0, 1000),
    folder=texts,
    revisions=st.frozensets(revisions, max_size=4),
)


def _reasons(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Reason]:
    about = st.lists(st.tuples(words, values), max_size=3, unique_by=lambda item: item[0])
    return st.builds(Reason, st.sampled_from(sorted(set(all_codes()))), about.map(tuple))


plain_values: st.SearchStrategy[Value] = (
    texts
    | moment
    | st.times().map(lambda value: value.replace(fold=0))
    | st.integers(0, 2**50)
    | st.integers(0, 2**50).map(Bytes)
    | st.integers(0, 2**50).map(Count)
)
reasons = _reasons(plain_values | st.lists(_reasons(plain_values), max_size=2).map(tuple))
missed = st.builds(Missed, name=texts, made=moment, reason=reasons)
any_notes = st.builds(
    Notes,
    results=st.builds(Results, *[dates] * len(fields(Results))),
    uploaded=st.dictionaries(ids, words, max_size=4),
    dismissed=st.sets(ids, max_size=4),
    sessions=st.dictionaries(ids, sessions, max_size=3),
    key_root=st.binary(max_size=64).map(lambda salts: Root(salts.hex())),
    newly_verified=st.sets(ids, max_size=4),
    approved=st.none() | answers,
    declined=st.none() | answers,
    commits=st.dictionaries(ids, commits, max_size=3),
    missed=st.none() | missed,
    handed_out=st.dictionaries(ids, missed, max_size=3),
    folder_seen=st.booleans(),
    folder_was_missing=st.booleans(),
    paused=st.booleans(),
    first_seen=st.dictionaries(ids, moment, max_size=4),
    wanted=st.sets(ids, max_size=4),
    everything_wanted=st.booleans(),
    wanted_since=dates,
    acknowledged=st.sets(words, max_size=4),
    unexamined=st.sets(ids, max_size=4),
    folder=st.none() | words,
)


@given(any_notes)
def test_what_is_written_is_read_back(notes: Notes) -> None:
    assert parse_notes(json.loads(json.dumps(write_notes(notes)))) == notes


def test_what_an_earlier_version_noted_is_read_and_is_no_consent() -> None:
    written = {**write_notes(Notes(dismissed={BackupId("x")})), "confirmed_keep": 2}
    for key in ("newly_verified", "approved", "declined"):
        del written[key]
    assert parse_notes(written) == Notes(dismissed={BackupId("x")})


@pytest.mark.parametrize(
    "written", ["no room", {"code": "of a newer version", "about": {"needed": {"bytes": 5}}}]
)
def test_a_reason_of_another_version_is_kept_and_the_alarm_with_it(written: object) -> None:
    missed = {"name": "Weekly", "made": "2026-01-02T03:04:05+00:00", "reason": written}
    read = parse_notes({**write_notes(Notes()), "missed": missed}).missed
    assert read is not None
    assert told(read.reason) == (written if isinstance(written, str) else "of a newer version")


@given(json_values, st.sampled_from(list(write_notes(Notes()))))
def test_nonsense_is_left_out(value: Any, key: str) -> None:
    assert isinstance(parse_notes(value), Notes)
    assert isinstance(parse_notes({**write_notes(Notes()), key: value}), Notes)


@given(any_notes, json_values, st.sampled_from(list(write_notes(Notes()))))
def test_one_value_that_can_not_be_read_takes_no_other_with_it(
    notes: Notes, value: Any, key: str
) -> None:
    written = json.loads(json.dumps(write_notes(notes)))
    read = write_notes(parse_notes({**written, key: value}))
    assert {**read, key: None} == {**written, key: None}


async def test_notes_outlive_the_object_that_wrote_them(hass: HomeAssistant) -> None:
    journal = Journal(hass, "entry")
    await journal.load()
    journal.notes.dismissed.add(BackupId("x"))
    await journal.save()

    again = Journal(hass, "entry")
    await again.load()
    assert again.notes.dismissed == {"x"}

    again.notes.paused = True
    await again.put_aside()
    last = Journal(hass, "entry")
    await last.load()
    assert last.notes.dismissed == {"x"}
    assert not last.notes.paused


async def test_of_two_writings_the_later_one_counts_whatever_the_clock_says(
    hass: HomeAssistant,
) -> None:
    hold = write_hold_of(hass)
    beside = Path(hass.config.path(f"{DOMAIN}.entry.log"))

    async def read() -> set[BackupId]:
        journal = Journal(hass, "entry")
        await journal.load()
        return journal.notes.dismissed

    journal = Journal(hass, "entry")
    journal.notes.dismissed.add(BackupId("1"))
    await journal.save()
    await hold.hold_writes()
    journal.notes.dismissed.add(BackupId("2"))
    await journal.save()
    os.utime(beside, (0, 0))
    assert await read() == {"1", "2"}

    # It could not be deleted when it was out of date.
    left = beside.read_bytes()
    await hold.release_writes()
    assert not beside.exists()
    journal.notes.dismissed.add(BackupId("3"))
    await journal.save()
    beside.write_bytes(left)
    assert await read() == {"1", "2", "3"}

    for nonsense in (b"", b"[]", b"\xff", b'{"edition": "x"}', b'{"edition": -1}', b"[" * 100_000):
        beside.write_bytes(nonsense)
        assert await read() == {"1", "2", "3"}


async def test_an_account_has_one_journal(hass: HomeAssistant) -> None:
    journal = await journal_of(hass, "entry")
    # As after a reload: who began before it and who began after it take notes of the same things.
    assert await journal_of(hass, "entry") is journal
    assert await journal_of(hass, "other") is not journal
    journal.notes.dismissed.add(BackupId("x"))
    await journal.save()

    await journal.put_aside()
    # Also after a removal: an upload may outlive it.
    assert await journal_of(hass, "entry") is journal


@given(any_notes, st.sets(ids, max_size=4), st.sets(ids, max_size=4))
def test_only_what_can_not_matter_any_more_is_forgotten(
    notes: Notes, here: set[BackupId], there: set[BackupId]
) -> None:
    before = parse_notes(json.loads(json.dumps(write_notes(notes))))
    notes.prune(here, there)
    assert notes.dismissed == before.dismissed
    assert notes.newly_verified == before.newly_verified & (here | there)
    assert notes.uploaded.keys() == before.uploaded.keys() & (here | there)
    assert notes.sessions.keys() == before.sessions.keys() & (here - there)


async def test_asking_where_backups_went_never_writes_what_is_out_of_date(
    hass: HomeAssistant, hass_storage: dict[str, Any]
) -> None:
    hold = write_hold_of(hass)
    await hold.hold_writes()
    before = await journal_of(hass, "entry")
    before.notes.folder = "/Backups"
    await before.put_aside()
    # Home Assistant was killed while it packed.
    beside = Path(hass.config.path(f"{DOMAIN}.entry.log"))
    left = beside.read_bytes()
    await hold.release_writes()
    hass_storage.clear()
    beside.write_bytes(left)
    del hass.data[JOURNALS]

    assert await folder_used_before(hass, "entry") == "/Backups"
    journal = await journal_of(hass, "entry")
    journal.notes.dismissed.add(BackupId("x"))
    await journal.save()
    await hold.hold_writes()
    await hold.release_writes()
    assert hass_storage[f"{DOMAIN}.entry"]["data"]["dismissed"] == ["x"]
