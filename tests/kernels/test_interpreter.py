"""Runs the other tests of this folder on a CPU, see conftest.py."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton has no build for this platform")
def test_kernels_under_the_interpreter():
    command = [sys.executable, "-m", "pytest", str(HERE), "-m", "not gpu", "-q", "--tb=short"]
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
