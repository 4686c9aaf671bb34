"""Codes become sentences, and sizes, dates and numbers are written, as the translations say."""

from datetime import UTC, datetime, time

from homeassistant.core import HomeAssistant
import pytest

from custom_components.dropbox_backup.codes import Bytes, Count, Reason
from custom_components.dropbox_backup.dropbox_api.errors import Fault
from custom_components.dropbox_backup.sync.decide.models import Trouble
from custom_components.dropbox_backup.sync.decide.retention import Rule
from custom_components.dropbox_backup.sync.report.alarm import Alarm
from custom_components.dropbox_backup.texts import Texts, load_texts, texts_of
from tests.support.english import ENGLISH, told

KEPT = Reason(Rule.PINNED)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 KB"),
        (123_456, "123 KB"),
        (999_999, "1 MB"),
        (2_500_000_000, "2.5 GB"),
        (10**16, "10000 TB"),
    ],
)
def test_sizes_are_written_for_people(size: int, text: str) -> None:
    assert ENGLISH.size(size) == text


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Reason.of(Alarm.BACKUPS_WAIT, count=Count(0)), "0 backups wait"),
        (Reason.of(Alarm.BACKUPS_WAIT, count=Count(1)), "1 backup waits"),
        (Reason.of(Alarm.BACKUPS_WAIT, count=Count(21)), "21 backups wait"),
        (Reason.of(Rule.NEWEST, keep=1), "one of the newest 1"),
        (
            Reason.of(Alarm.LITTLE_ROOM, needed=Bytes(5_000_000), free=Bytes(1)),
            "The next backup needs about 5 MB, and there is room for 1 byte",
        ),
        (
            Reason.of(Alarm.HOURS, begin=time(1), end=time(6, 30)),
            "Your options allow uploads from 01:00 to 06:30",
        ),
        (Reason.of(Trouble.PINNED_BACKUPS, backups=("A", "B", "C")), "pinned: A, B, C"),
        (
            Reason.of(
                Alarm.REFUSED,
                backups=(
                    Reason.of(Alarm.OF_BACKUP, name="A {size}", reason=KEPT),
                    Reason.of(Alarm.OF_BACKUP, name="B", reason=KEPT),
                ),
            ),
            "A {size}: pinned; B: pinned",
        ),
    ],
)
def test_a_reason_is_told_with_all_that_it_is_about(reason: Reason, text: str) -> None:
    assert told(reason) == text


def test_several_reasons_are_one_sentence_after_the_other() -> None:
    wait = Reason.of(Alarm.BACKUPS_WAIT, count=Count(2))
    assert told(wait, Reason(Alarm.PAUSED)) == "2 backups wait. Uploads are paused"


def test_another_language_writes_numbers_and_dates_in_its_own_way() -> None:
    texts = Texts(
        {
            "size_mb": "{amount} Mo",
            "decimal_number": "{whole},{fraction}",
            "date": "{day}/{month}/{year} {hour}h{minute}",
            "time": "{hour}h{minute}",
        }
    )
    assert texts.write(Bytes(1_500_000)) == "1,5 Mo"
    assert texts.write(time(6, 5)) == "06h05"
    assert texts.write(datetime(2026, 3, 1, 22, 4, tzinfo=UTC)).startswith("01/03/2026 ")


def test_a_text_that_is_missing_is_told_by_its_key() -> None:
    assert ENGLISH.fill("nobody_translated_it", size=Bytes(1)) == "nobody_translated_it"


def test_a_reason_that_says_less_than_its_text_asks_for_is_told_all_the_same() -> None:
    assert (
        told(Reason.of(Fault.TOO_LITTLE_ROOM, needed=Bytes(5))) == "5 bytes are needed, … are free"
    )
    assert told(Reason.of(Trouble.PINNED_BACKUPS, backups=())) == "pinned: …"


def test_the_log_has_the_code_with_what_it_is_about() -> None:
    reason = Reason.of(Alarm.LITTLE_ROOM, needed=Bytes(5), free=Bytes(1))
    assert str(reason) == "little room (needed 5, free 1)"
    assert str(Reason.of(Alarm.REFUSED, backups=("A", "B"))) == "backups refused (backups A; B)"


async def test_english_is_spoken_until_a_new_language_is_loaded(hass: HomeAssistant) -> None:
    await load_texts(hass)
    hass.config.language = "de"
    assert texts_of(hass).of(KEPT) == "pinned"
