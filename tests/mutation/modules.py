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
    "sync.decide.retention": ("tests/sync/test_retention.py", "tests/sync/test_plan.py"),
    "sync.decide.consent": ("tests/sync/test_consent.py", "tests/sync/test_keeper.py"),
    "sync.decide.plan": ("tests/sync/test_plan.py", "tests/sync/test_verify_first.py"),
    "sync.decide.file_names": ("tests/sync/test_names.py", "tests/sync/test_retention.py"),
    "dropbox_api.upload.session": _UPLOADS,
    "dropbox_api.upload.commits": _UPLOADS,
    "sync.upload.transfers": (
        "tests/test_truth.py",
        "tests/sync/test_verify_first.py",
        "tests/sync/test_encryption.py",
        "tests/sync/test_whole.py",
        "tests/test_main_job.py",
        "tests/test_many.py",
    ),
    "dropbox_api.upload.upload": _UPLOADS,
    "dropbox_api.upload.chunk": (*_UPLOADS, "tests/dropbox_api/test_speed.py"),
    "dropbox_api.content_hash": (
        "tests/dropbox_api/test_resumable_hash.py",
        "tests/dropbox_api/test_upload.py",
    ),
    "dropbox_api.upload.resumable_hash": (
        "tests/dropbox_api/test_resumable_hash.py",
        "tests/dropbox_api/test_upload.py",
    ),
    "dropbox_api.upload.source": (
        "tests/dropbox_api/test_chunks.py",
        "tests/dropbox_api/test_upload.py",
    ),
    "sync.report.alarm": ("tests/sync/test_alarm.py",),
    "sync.remote.inventory": ("tests/sync/test_archive.py", "tests/sync/test_remote.py"),
    "sync.remote.listing": (
        "tests/sync/test_listing.py",
        "tests/sync/test_remote.py",
        "tests/sync/test_ghosts.py",
    ),
    "sync.remote.catalog": ("tests/sync/test_catalog.py", "tests/sync/test_remote.py"),
    "sync.archive.metadata": (
        "tests/sync/test_archive.py",
        "tests/faults/test_bad_input.py",
        "tests/sync/test_contents.py",
    ),
    "sync.archive.contents": ("tests/sync/test_contents.py", "tests/sync/test_whole.py"),
    "sync.decide.upload_window": ("tests/sync/test_manners.py", "tests/test_hours.py"),
    "sync.decide.models": (
        "tests/sync/test_models.py",
        "tests/sync/test_plan.py",
        "tests/sync/test_retention.py",
        "tests/sync/test_catalog.py",
        "tests/test_dates.py",
    ),
    "sync.schedule": ("tests/sync/test_schedule.py", "tests/test_nasty_dropbox.py"),
    "sync.requests": ("tests/test_main_job.py", "tests/test_priorities.py", "tests/test_backup.py"),
    "untrusted": ("tests/test_untrusted.py", "tests/sync/test_catalog.py"),
}


def path_of(module: str) -> Path:
    """Return where a module's source lies."""
    return ROOT.joinpath(*PACKAGE.split("."), *module.split(".")).with_suffix(".py")
