"""The benchmarks still work: they use the product from outside, where no type checker sees all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import ALL, MORE
from benchmarks.contenders.job import Job
from benchmarks.loop import _OUR_MODULES, _import
from benchmarks.manners import _windows
from benchmarks.many import _outcome
from benchmarks.seed import archive, backups, fill_folder, fill_for_core
from benchmarks.stage import FREE, MIB, Stage, stage

_SIZE = 5 * MIB


@pytest.fixture
def the_stage(tmp_path: Path, socket_enabled: None) -> Iterator[Stage]:
    with stage(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("who", ["us", "core", "sdk"])
def test_everyone_uploads_and_downloads(the_stage: Stage, who: str) -> None:
    up = the_stage.upload(who, _SIZE, FREE, watch=True)
    down = the_stage.download(who, _SIZE, FREE, watch=True)
    for figures in (up, down):
        assert figures.seconds > 0
        assert figures.cpu > 0
        assert figures.more["requests"] > 0
        assert (figures.stall is None) == (who == "sdk")


def test_our_upload_takes_the_options_of_the_benchmarks(the_stage: Stage) -> None:
    the_stage.upload("us", _SIZE, FREE, opened_ahead=1, pi=4.0)
    limited = the_stage.upload("us", _SIZE, FREE, bytes_per_second=4 * MIB)
    assert limited.seconds > 1


def test_folders_of_backups_are_listed_by_us_and_by_core(the_stage: Stage) -> None:
    fill_folder(the_stage.control, "/kept/folder", 3)
    job = Job("folder_with_us", the_stage.token, "/kept/folder", str(the_stage.file(MIB)), 3)
    ours = the_stage.run(job).more
    assert (ours["cold requests"], ours["warm requests"]) == (2, 1)
    fill_for_core(the_stage.control, 3)
    cores = the_stage.run(Job("page_with_core", the_stage.token, "", "", 3)).more
    assert (cores["cold requests"], cores["warm requests"]) == (4, 4)


@pytest.mark.parametrize("who", ["many_with_us", "many_with_core"])
def test_many_are_uploaded_one_by_one(the_stage: Stage, tmp_path: Path, who: str) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for backup in backups(2):
        (folder / f"{backup.backup_id}.tar").write_bytes(archive(backup, MIB))
    size = next(folder.iterdir()).stat().st_size
    the_stage.run(Job(who, the_stage.token, "/many", str(folder), size))
    outcome = _outcome(the_stage.control.log())
    assert (outcome.refused, outcome.in_a_row) == (0, 0)
    assert outcome.requests >= 4


def test_profile_and_pieces(the_stage: Stage) -> None:
    file = str(the_stage.file(_SIZE))
    shares = the_stage.run(Job("shares_of_upload", the_stage.token, "", file, _SIZE))
    assert shares.cpu > 0
    certificate = str(the_stage.folder / "tls" / "server.pem")
    pieces = the_stage.run(Job("pieces", the_stage.token, "", certificate, 0)).more
    assert pieces["tls 32"] > pieces["tls 16"] > 0


def test_what_loading_costs_is_measured() -> None:
    assert 0 < _import(_OUR_MODULES).memory < 25 * MIB


def test_a_body_is_sent(the_stage: Stage) -> None:
    assert the_stage.send_body("Body", 24 * MIB, watch=False).cpu > 0


def test_refusals_are_counted_in_a_row() -> None:
    refusal = "too_many_write_operations/..."
    log = [
        {"route": "files/upload", "time": number, "duration": 0.5, "error": error}
        for number, error in enumerate(["", refusal, refusal, "", refusal])
    ]
    outcome = _outcome(log)
    assert (outcome.seconds, outcome.refused, outcome.in_a_row) == (4.5, 3, 2)


def test_windows_of_ten_seconds_hold_what_arrived_in_them() -> None:
    arrived = [(second / 2, 10) for second in range(60)]
    assert set(_windows(arrived)) == {200}


def test_every_benchmark_has_its_place_in_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "performance.md"
    copy.write_text(report.DOCUMENT.read_text())
    monkeypatch.setattr(report, "DOCUMENT", copy)
    for name in (*ALL, *MORE, "machine"):
        found = report.Report(name)
        found.budget(f"of {name}", "1 %", met=name != "thin")
        report.write_section(name, found.markdown)
        report.write_section(name, found.markdown)
    text = copy.read_text()
    overview = text[: text.index("<!-- end: budgets -->")]
    assert overview.count("| of thin | 1 % | missed |") == 1
    assert overview.count("| met |") == len(ALL) + len(MORE)
    assert text.count("**Budget** of page") == 1
