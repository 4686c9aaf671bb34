"""The server as a process of its own, and its switches over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import subprocess
import sys

import dropbox
import pytest

from tests.support.before_home_assistant import PORT, TLS
from tests.support.dropbox_server import DropboxProcess, Fault, FaultKind, Line, Rules


@pytest.fixture
def process(tmp_path: Path) -> Iterator[DropboxProcess]:
    with DropboxProcess(tmp_path / "dropbox", PORT, tls_dir=TLS) as running:
        yield running


def client_of(process: DropboxProcess) -> dropbox.Dropbox:
    return dropbox.Dropbox(process.control.issue_tokens()["access_token"], max_retries_on_error=0)


def test_every_switch_works_from_outside(process: DropboxProcess) -> None:
    control, client = process.control, client_of(process)
    put = control.put("/Dir/ä b.tar", b"content")
    assert put["path"] == "/Dir/ä b.tar"
    assert client.files_get_metadata("/dir/ä b.tar").rev == put["rev"]
    assert control.read("/Dir/ä b.tar") == b"content"
    assert Path(control.files()[0]["path_on_disk"]).read_bytes() == b"content"

    control.add_fault(Fault(FaultKind.STATUS, "files/*", status=500))
    with pytest.raises(dropbox.exceptions.InternalServerError):
        client.files_list_folder("")
    assert control.faults()[0]["applied"] == 1
    control.clear_faults()

    control.set_line(Line(server_time=0.01))
    control.set_rules(Rules(write_lock=True))
    control.change_account(quota=3)
    with pytest.raises(dropbox.exceptions.ApiError):
        client.files_upload(b"1234", "/x")
    control.delete("/Dir")
    assert control.files() == []

    log = control.log("files/upload")
    assert [(record["status"], record["bytes_received"]) for record in log] == [(409, 4)]
    assert control.state()["counters"]["files/list_folder"] == 1
    control.clear_log()
    assert control.log() == []

    control.advance_clock(5 * 3600)
    with pytest.raises(dropbox.exceptions.AuthError) as raised:
        client.users_get_current_account()
    assert raised.value.error.is_expired_access_token()
    client.close()


def test_refused_switch_says_why(process: DropboxProcess) -> None:
    with pytest.raises(ValueError, match="NotFoundError"):
        process.control.delete("/no")
    with pytest.raises(ValueError, match="cannot change"):
        process.control.change_account(account_id=None, shoe_size=1)


def test_killed_server_comes_back_with_everything(process: DropboxProcess) -> None:
    control, client = process.control, client_of(process)
    control.put("/kept", b"1")
    session = client.files_upload_session_start(b"first ").session_id
    cursor = client.files_list_folder("").cursor
    process.kill()
    process.start()
    control = process.control
    assert control.read("/kept") == b"1"
    position = dropbox.files.UploadSessionCursor(session, 6)
    client.files_upload_session_finish(b"last", position, dropbox.files.CommitInfo("/new"))
    assert control.read("/new") == b"first last"
    assert [entry.name for entry in client.files_list_folder_continue(cursor).entries] == ["new"]
    client.close()


def test_alone_it_prints_what_a_person_needs(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.dropbox_server", "--dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout
        lines = [running.stdout.readline() for _ in range(14)]
        running.terminate()
    text = "".join(lines)
    assert "Local Dropbox at https://127.0.0.1:" in text
    assert "export DROPBOX_API_HOST=127.0.0.1:" in text
    assert "App key" in text
    assert "/auth/external/callback" in text
    assert running.returncode == 0
