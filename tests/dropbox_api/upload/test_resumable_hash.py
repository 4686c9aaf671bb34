"""A hash that goes on after a restart is the hash that everybody else gets."""

from hashlib import sha256

from hypothesis import given, strategies as st
import pytest

from custom_components.dropbox_backup.dropbox_api.upload.resumable_hash import ResumableHash


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_it_is_that_of_the_whole_however_often_it_is_written_down(pieces: list[bytes]) -> None:
    known = ResumableHash()
    for piece in pieces:
        known = ResumableHash.parse(str(known.plus(piece)))
    assert known.hexdigest() == sha256(b"".join(pieces)).hexdigest()


@pytest.mark.parametrize("count", range(130))
def test_it_is_right_at_every_end_of_a_block(count: int) -> None:
    data = bytes(range(count))
    assert ResumableHash().plus(data).hexdigest() == sha256(data).hexdigest()


def test_what_is_written_down_stays_short() -> None:
    assert len(str(ResumableHash().plus(bytes(32) * 2561))) < 200  # of more than 10 GiB


@given(st.text())
def test_nonsense_is_refused_and_nothing_else_is_raised(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (whatever int() and others say)
        ResumableHash.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "0:00:",
        f"1:{'0' * 64}:",
        f"-1:{'0' * 64}:{'0' * 126}",
        f"0:{'0' * 66}:",
        f"{2**64}:{'0' * 64}:",
    ],
)
def test_what_can_not_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (whatever int() and others say)
        ResumableHash.parse(text)
