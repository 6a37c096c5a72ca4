"""Runs the other tests of this folder on a CPU, see conftest.py."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels" / "nbllm_kernels"
pytestmark = pytest.mark.skipif(
    find_spec("triton") is None, reason="Triton has no build for this platform"
)


def run_others(*options: str, **env: str) -> str:
    """What pytest prints of the other tests."""
    command = [sys.executable, "-m", "pytest", str(HERE), "-q", "--tb=short", *options]
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        env=os.environ | env,
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
    return run.stdout


def test_kernels_under_the_interpreter():
    run_others("-m", "not gpu", TRITON_INTERPRET="1")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_kernels_before_the_compiler_of_a_gpu():
    shown = run_others(FRONT_END="1")
    [names] = re.findall(r"^translated \d+: (.*)$", shown, re.M)
    # in another language: test_gluon.py
    others = {*KERNELS.glob("*hopper*.py")}
    source = "".join(path.read_text() for path in {*KERNELS.glob("*.py")} - others)
    kernels = set(re.findall(r"^def (\w+_kernel)\(", source, re.M))
    assert len(kernels) > 20
    assert not kernels - {*names.split()}
