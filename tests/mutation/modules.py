"""Which modules are mutated, and which tests are there for each. Safety comes first."""

from pathlib import Path

PACKAGE = "custom_components.dropbox_backup"
ROOT = Path(__file__).parents[2]

_UPLOADS = (
    "tests/dropbox_api/test_upload.py",
    "tests/dropbox_api/test_small.py",
    "tests/dropbox_api/test_limits.py",
)

TESTS: dict[str, tuple[str, ...]] = {
    "sync.retention": ("tests/sync/test_retention.py", "tests/sync/test_plan.py"),
    "sync.consent": ("tests/sync/test_consent.py", "tests/sync/test_keeper.py"),
    "sync.plan": ("tests/sync/test_plan.py", "tests/sync/test_verify_first.py"),
    "sync.names": ("tests/sync/test_names.py", "tests/sync/test_retention.py"),
    "dropbox_api.upload_session": _UPLOADS,
    "dropbox_api.commits": _UPLOADS,
    "sync.transfers": (
        "tests/test_truth.py",
        "tests/sync/test_verify_first.py",
        "tests/sync/test_encryption.py",
        "tests/sync/test_whole.py",
        "tests/test_main_job.py",
        "tests/test_many.py",
    ),
    "dropbox_api.upload": _UPLOADS,
    "dropbox_api.turn": (*_UPLOADS, "tests/dropbox_api/test_speed.py"),
    "dropbox_api.content_hash": (
        "tests/dropbox_api/test_resumable_hash.py",
        "tests/dropbox_api/test_upload.py",
    ),
    "dropbox_api.resumable_hash": (
        "tests/dropbox_api/test_resumable_hash.py",
        "tests/dropbox_api/test_upload.py",
    ),
    "dropbox_api.chunks": ("tests/dropbox_api/test_chunks.py", "tests/dropbox_api/test_upload.py"),
    "sync.alarm": ("tests/sync/test_alarm.py",),
    "sync.described": ("tests/sync/test_archive.py", "tests/sync/test_remote.py"),
    "sync.listing": (
        "tests/sync/test_listing.py",
        "tests/sync/test_remote.py",
        "tests/sync/test_ghosts.py",
    ),
    "sync.catalog": ("tests/sync/test_catalog.py", "tests/sync/test_remote.py"),
    "sync.archive": (
        "tests/sync/test_archive.py",
        "tests/faults/test_bad_input.py",
        "tests/sync/test_contents.py",
    ),
    "sync.contents": ("tests/sync/test_contents.py", "tests/sync/test_whole.py"),
    "sync.manners": ("tests/sync/test_manners.py", "tests/test_hours.py"),
    "sync.models": (
        "tests/sync/test_plan.py",
        "tests/sync/test_retention.py",
        "tests/sync/test_catalog.py",
        "tests/test_dates.py",
    ),
    "sync.schedule": ("tests/sync/test_schedule.py", "tests/test_nasty_dropbox.py"),
    "sync.wishes": ("tests/test_main_job.py", "tests/test_priorities.py", "tests/test_backup.py"),
    "untrusted": ("tests/test_untrusted.py", "tests/sync/test_catalog.py"),
}


def path_of(module: str) -> Path:
    """Return where a module's source lies."""
    return ROOT.joinpath(*PACKAGE.split("."), *module.split(".")).with_suffix(".py")
