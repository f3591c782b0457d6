"""The oldest Python that the agent runs on, where a machine has it."""

import os
import shutil
import subprocess

import pytest


def _found() -> str:
    """Path of Python 3.8, or nothing; pyenv has it behind a script that asks for a version."""
    shim = shutil.which("python3.8")
    if shim is None:
        return ""
    command = [shim, "-c", "import sys; print(sys.executable)"]
    environment = {**os.environ, "PYENV_VERSION": "3.8"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout.strip()


PYTHON_3_8 = _found()
# Not a failure in CI either: present-day distributions have no such package.
NEEDS_PYTHON_3_8 = pytest.mark.skipif(not PYTHON_3_8, reason="needs python3.8")
