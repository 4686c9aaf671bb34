"""Which modules are mutated, and which tests are there for each. Safety comes first."""

from pathlib import Path

PACKAGE = "custom_components.dropbox_backup"
ROOT = Path(__file__).parents[2]

_UPLOADS = (
    "tests/dropbox_api/upload/test_upload.py",
    "tests/dropbox_api/upload/test_small.py",
    "tests/dropbox_api/upload/test_pool.py",
)

TESTS: dict[str, tuple[str, ...]] = {
    "sync.decide.retention": (
        "tests/sync/decide/test_retention.py",
        "tests/sync/decide/test_plan.py",
    ),
    "sync.decide.consent": ("tests/sync/decide/test_consent.py", "tests/sync/test_pruner.py"),
    "sync.decide.plan": ("tests/sync/decide/test_plan.py", "tests/sync/test_verify_first.py"),
    "sync.decide.ownership": (
        "tests/sync/decide/test_ownership.py",
        "tests/sync/remote/test_folder.py",
    ),
    "sync.decide.file_names": (
        "tests/sync/decide/test_file_names.py",
        "tests/sync/decide/test_retention.py",
    ),
    "dropbox_api.upload.session": _UPLOADS,
    "dropbox_api.upload.commits": _UPLOADS,
    "sync.upload.transfers": (
        "tests/behaviour/test_truth.py",
        "tests/sync/test_verify_first.py",
        "tests/sync/archive/test_encryption.py",
        "tests/sync/test_whole.py",
        "tests/behaviour/test_main_job.py",
        "tests/behaviour/test_many.py",
    ),
    "dropbox_api.upload.upload": _UPLOADS,
    "dropbox_api.upload.chunk": (*_UPLOADS, "tests/dropbox_api/test_bandwidth.py"),
    "dropbox_api.content_hash": (
        "tests/dropbox_api/upload/test_resumable_hash.py",
        "tests/dropbox_api/upload/test_upload.py",
    ),
    "dropbox_api.upload.resumable_hash": (
        "tests/dropbox_api/upload/test_resumable_hash.py",
        "tests/dropbox_api/upload/test_upload.py",
    ),
    "dropbox_api.upload.source": (
        "tests/dropbox_api/upload/test_source.py",
        "tests/dropbox_api/upload/test_upload.py",
    ),
    "sync.report.alarm": ("tests/sync/report/test_alarm.py",),
    "sync.remote.inventory": (
        "tests/sync/remote/test_inventory.py",
        "tests/sync/remote/test_folder.py",
    ),
    "sync.remote.listing": (
        "tests/sync/remote/test_listing.py",
        "tests/sync/remote/test_folder.py",
        "tests/sync/remote/test_ghosts.py",
    ),
    "sync.remote.catalog": (
        "tests/sync/remote/test_catalog.py",
        "tests/sync/remote/test_folder.py",
    ),
    "sync.archive.metadata": (
        "tests/sync/archive/test_metadata.py",
        "tests/faults/test_bad_input.py",
        "tests/sync/archive/test_contents.py",
    ),
    "sync.archive.contents": ("tests/sync/archive/test_contents.py", "tests/sync/test_whole.py"),
    "sync.decide.upload_window": (
        "tests/sync/decide/test_upload_window.py",
        "tests/behaviour/test_hours.py",
    ),
    "sync.decide.models": (
        "tests/sync/decide/test_models.py",
        "tests/sync/decide/test_plan.py",
        "tests/sync/decide/test_retention.py",
        "tests/sync/remote/test_catalog.py",
        "tests/behaviour/test_dates.py",
    ),
    "sync.schedule": ("tests/sync/test_schedule.py", "tests/behaviour/test_nasty_dropbox.py"),
    "sync.requests": (
        "tests/behaviour/test_main_job.py",
        "tests/behaviour/test_priorities.py",
        "tests/test_backup.py",
    ),
    "dropbox_api.upload.pool": ("tests/dropbox_api/upload/test_pool.py",),
    "untrusted": ("tests/test_untrusted.py", "tests/sync/remote/test_catalog.py"),
}


def path_of(module: str) -> Path:
    """Return where a module's source lies."""
    return ROOT.joinpath(*PACKAGE.split("."), *module.split(".")).with_suffix(".py")
