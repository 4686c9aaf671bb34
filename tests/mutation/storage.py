"""Where a run keeps what it writes: nowhere in the working tree."""

import atexit
import os
from pathlib import Path
import shutil
import tempfile

DIRECTORY = Path(tempfile.mkdtemp(prefix="dropbox_backup_mutation_"))
atexit.register(shutil.rmtree, DIRECTORY, ignore_errors=True)

# Hypothesis reads it when it is imported. What it would remember is about mutants.
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(DIRECTORY / "hypothesis")
