"""Made-up backups for the tests of what is pure, and hypothesis strategies for them."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from homeassistant.components.backup import AddonInfo, AgentBackup, Folder
from hypothesis import strategies as st

from custom_components.dropbox_backup.sync.decide.file_names import file_name
from custom_components.dropbox_backup.sync.decide.models import (
    LocalBackup,
    RemoteBackup,
    RemoteFile,
)

US = "instance-of-this-house"
THEM = "instance-of-the-neighbours"
FIRST_DAY = datetime(2026, 1, 1, 3, 0, tzinfo=UTC)


def backup(
    number: int = 0, *, day: int | None = None, owner: str | None = US, **more: object
) -> AgentBackup:
    """Return backup number N, made on day N unless told otherwise."""
    date = FIRST_DAY + timedelta(days=number if day is None else day)
    values: dict[str, object] = {
        "addons": [],
        "backup_id": f"{number:08x}",
        "date": date.isoformat(),
        "database_included": True,
        "extra_metadata": {"instance_id": owner} if owner else {},
        "folders": [],
        "homeassistant_included": True,
        "homeassistant_version": "2026.11.0",
        "name": f"Backup {number}",
        "protected": False,
        "size": 1000 + number,
    }
    return AgentBackup(**(values | more))  # type: ignore[arg-type]  # checked by every test that uses it


def local(number: int = 0, **more: object) -> LocalBackup:
    return LocalBackup(backup(number, **more), "backup.local")  # type: ignore[arg-type]  # as above


def remote(
    number: int = 0,
    *,
    day: int | None = None,
    owner: str | None = US,
    verified: bool = True,
    pinned: bool = False,
    called: str | None = None,
    uploaded: int | None = None,
) -> RemoteBackup:
    made = backup(number, day=day, owner=owner)
    file = RemoteFile(
        name=called or file_name(made),
        rev=f"{number:016x}",
        size=made.size,
        content_hash=sha256(str(number).encode()).hexdigest(),
        uploaded=FIRST_DAY
        + timedelta(days=max(number, day or 0) if uploaded is None else uploaded),
    )
    return RemoteBackup(
        made, file, owner=owner, pinned=pinned, verified=FIRST_DAY if verified else None
    )


remotes = st.builds(
    remote,
    st.integers(0, 40),
    day=st.integers(0, 40),
    owner=st.sampled_from([US, US, US, THEM, None]),
    verified=st.booleans(),
    pinned=st.booleans(),
    called=st.sampled_from([None, None, None, "KEEP ME.tar"]),
    uploaded=st.none() | st.integers(0, 40),
)
"""Any remote backup."""

folders = st.lists(
    remotes,
    max_size=25,
    unique_by=(lambda one: one.backup.backup_id, lambda one: one.file.name),
)
"""The content of any backup folder."""

locals_ = st.lists(
    st.builds(
        local,
        st.integers(0, 40),
        day=st.integers(0, 40),
        owner=st.sampled_from([US, US, THEM, None]),
    ),
    max_size=15,
    unique_by=lambda one: one.backup.backup_id,
)
"""Any set of local backups."""

shown = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029")
"""What texts keep that come from elsewhere."""

agent_backups = st.builds(
    AgentBackup,
    addons=st.lists(
        st.builds(
            AddonInfo,
            name=st.none() | st.text(shown, max_size=20),
            slug=st.text(shown, max_size=20),
            version=st.none() | st.text(shown, max_size=9),
        ),
        max_size=3,
    ),
    backup_id=st.text(shown, min_size=1, max_size=40),
    date=st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | st.text(shown, max_size=30),
    database_included=st.booleans(),
    extra_metadata=st.dictionaries(
        st.text(shown, min_size=1, max_size=10), st.booleans() | st.text(shown, max_size=10)
    ),
    folders=st.lists(st.sampled_from(Folder), unique=True),
    homeassistant_included=st.booleans(),
    homeassistant_version=st.none() | st.text(shown, max_size=10),
    name=st.text(shown, max_size=400),
    protected=st.booleans(),
    size=st.integers(0, 2**50),
)
"""Any backup, with the strangest names."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=5)
    ),
    max_leaves=20,
)
"""Any JSON."""
