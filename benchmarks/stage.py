"""Where the contenders meet: a local Dropbox of its own process, files to send, and a table."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
import json
import os
from pathlib import Path
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from benchmarks.contenders.job import Job
from benchmarks.measure import Figures
from benchmarks.proxy import PROXIED_HOSTS, Proxy
from tests.support.dropbox_server import ControlClient, DropboxProcess, Line

MIB = 1024 * 1024
GIB = 1024 * MIB
REPOSITORY = Path(__file__).parents[1]
SHAPED = Line(
    latency=0.05,
    server_time=0.2,
    upload_per_connection=40e6,
    upload_total=200e6,
    download_per_connection=40e6,
    download_total=200e6,
)
THIN = Line(latency=0.08, upload_total=2e6, download_total=2e6)
FREE = Line()
# OpenSSL's own switch (man OPENSSL_ia32cap): without AES-NI, PCLMULQDQ, VAES, and SHA extensions.
_NO_CRYPTO_INSTRUCTIONS = "~0x200000200000000:~0x60020000000"
# Whoever takes longer than so many seconds hangs.
_TIMEOUT = 1200.0


@dataclass
class Stage:
    """A local Dropbox with an empty account, and a folder for files."""

    dropbox: DropboxProcess
    folder: Path
    token: str
    # For the contenders: a processor without instructions for AES and SHA-256, like a Raspberry
    # Pi 4's.
    plain_processor: bool = False

    @property
    def control(self) -> ControlClient:
        """The switches of the local Dropbox."""
        return self.dropbox.control

    def file(self, size: int) -> Path:
        """Return a file of random bytes, or of zeros where only the size counts (over 2 GiB)."""
        path = self.folder / f"{size}.tar"
        if not path.exists():
            with path.open("wb") as file:
                if size > 2 * GIB:
                    file.truncate(size)
                else:
                    for start in range(0, size, MIB):
                        file.write(os.urandom(min(MIB, size - start)))
        return path

    def upload(
        self, who: str, size: int, line: Line, *, watch: bool = False, **options: float
    ) -> Figures:
        """Let somebody upload a file over the line, and take it away again."""
        self.control.set_line(line)
        file, path = str(self.file(size)), "/backup.tar"
        job = Job(f"upload_with_{who}", self.token, path, file, size)
        try:
            if who == "rclone":
                return self.rclone(["copyto", file, f"local:{path}"])
            return self.run(replace(job, options=options, watch=watch))
        finally:
            self.control.set_line(FREE)
            self.clear()

    def clear(self) -> None:
        """Delete all files but those that `put` keeps."""
        for one in self.control.files():
            if not one["path"].startswith("/kept"):
                self.control.delete(one["path"])
        self.control.purge()

    def put(self, size: int) -> Job:
        """Lay a file into Dropbox; return the job to fetch it."""
        path = f"/kept_{size}.tar"
        job = Job("upload_with_us", self.token, path, str(self.file(size)), size)
        stored = [one for one in self.control.files() if one["path"] == path]
        if not stored:
            self.run(job)
            stored = [one for one in self.control.files() if one["path"] == path]
        target = str(self.folder / "restored.tar")
        return replace(
            job, file=target, rev=stored[0]["rev"], content_hash=stored[0]["content_hash"]
        )

    def download(
        self, who: str, size: int, line: Line, *, watch: bool = False, **options: float
    ) -> Figures:
        """Let somebody download a file over the line."""
        job = replace(
            self.put(size), contender=f"download_with_{who}", options=options, watch=watch
        )
        self.control.set_line(line)
        try:
            if who == "rclone":
                Path(job.file).unlink(missing_ok=True)  # it would fetch nothing
                return self.rclone(["copyto", f"local:{job.path}", job.file])
            return self.run(job)
        finally:
            self.control.set_line(FREE)

    def send_body(self, form: str, size: int, *, watch: bool) -> Figures:
        """Send `size` bytes as request bodies of 4 MiB in one form."""
        file = str(self.file(4 * MIB))
        return self.run(Job("send_body", self.token, form, file, size, watch=watch))

    def curl(self, size: int, connections: int) -> float:
        """Send so many files at once with `curl`, to be read and refused; return the seconds."""
        url = f"https://{self.dropbox.env['DROPBOX_API_CONTENT_HOST']}/2"
        argument = json.dumps({"cursor": {"session_id": "none", "offset": 0}})
        command = ["curl", "--silent", "--output", os.devnull, "--request", "POST"]
        command += ["--cacert", self.dropbox.env["REQUESTS_CA_BUNDLE"]]
        command += ["--header", f"Authorization: Bearer {self.token}", "--header", "Expect:"]
        command += ["--header", "Content-Type: application/octet-stream"]
        command += ["--header", f"Dropbox-API-Arg: {argument}"]
        command += ["--upload-file", str(self.file(size))]
        command += [f"{url}/files/upload_session/append_v2"]
        begun = time.perf_counter()
        running = [subprocess.Popen(command) for _ in range(connections)]
        for one in running:
            assert one.wait(_TIMEOUT) == 0
        return time.perf_counter() - begun

    def run(self, job: Job, **env: str) -> Figures:
        """Run one contender in a process of its own; `more` also gets how many requests it made."""
        self.control.clear_log()
        command = [sys.executable, "-m", "benchmarks.contenders", json.dumps(asdict(job))]
        env = os.environ | self.dropbox.env | env
        if self.plain_processor:
            env["OPENSSL_ia32cap"] = _NO_CRYPTO_INSTRUCTIONS
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=env,
            stdout=subprocess.PIPE,
            check=True,
            timeout=_TIMEOUT,
        )
        figures = Figures(**json.loads(done.stdout))
        figures.more["requests"] = sum(self.control.state()["counters"].values())
        return figures

    def rclone(self, arguments: list[str], *, batch_mode: str = "off") -> Figures:
        """Run rclone, to whom this Dropbox is `local:`."""
        token = {"access_token": self.token, "token_type": "bearer"}
        with Proxy(self.dropbox.port) as proxy:
            env = os.environ | {
                "HTTPS_PROXY": proxy.url,
                "RCLONE_CONFIG": str(self.folder / "rclone.conf"),
                "RCLONE_CONFIG_LOCAL_TYPE": "dropbox",
                "RCLONE_CONFIG_LOCAL_TOKEN": json.dumps(token),
                "RCLONE_CONFIG_LOCAL_BATCH_MODE": batch_mode,
                "RCLONE_RETRIES": "1",
                "RCLONE_CA_CERT": self.dropbox.env["REQUESTS_CA_BUNDLE"],
            }
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            begun = time.perf_counter()
            subprocess.run(["rclone", "--quiet", *arguments], env=env, check=True, timeout=_TIMEOUT)
            seconds = time.perf_counter() - begun
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Figures(seconds, cpu)


def has_rclone() -> bool:
    """Tell whether this peer is installed."""
    return shutil.which("rclone") is not None


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Set up a stage; the folder may have files to send from an earlier one."""
    tls = folder / "tls"
    if not tls.exists():
        _make_certificates(tls)
    with tempfile.TemporaryDirectory(dir=folder, prefix="dropbox_") as data:
        arguments = ["--quota", str(100 * GIB)]
        with DropboxProcess(Path(data), 0, *arguments, tls_dir=tls) as dropbox:
            token = dropbox.control.issue_tokens()["access_token"]
            yield Stage(dropbox, folder, token)


def _make_certificates(folder: Path) -> None:
    """Make the local Dropbox answer for Dropbox's own names too: some peers know no others."""
    import trustme

    folder.mkdir()
    authority = trustme.CA(organization_name="Local Dropbox")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1", "localhost", *PROXIED_HOSTS)
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")


def machine() -> str:
    """Describe this machine in one line."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    name = cpu[1] if cpu else platform.machine()
    return (
        f"{os.cpu_count()} x {name}, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
