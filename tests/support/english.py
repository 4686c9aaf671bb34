"""What is told in English, for tests of what no face has told yet."""

import json
from pathlib import Path

from custom_components.dropbox_backup import texts
from custom_components.dropbox_backup.codes import Reason

_FILE = Path(texts.__file__).parent / "translations" / "en.json"
ENGLISH = texts.Texts(json.loads(_FILE.read_text(encoding="utf-8"))["common"])


def told(*reasons: Reason) -> str:
    """Return what the reasons say."""
    return ENGLISH.of(*reasons)
