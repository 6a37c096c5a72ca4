"""The extension is in what we publish: a build that skipped it looks just like one that did not."""

import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import nbllm

ROOT = Path(__file__).parents[2]
INSTALLED = f"nbllm-{nbllm.__version__}.data/data/share/jupyter/labextensions/nbllm/"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A folder with an sdist and with the wheel built from it."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    if importlib.util.find_spec("build") is None:
        pytest.skip("build is not installed")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True)
    return folder


def test_wheel(dist):
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        package = json.loads(wheel.read(INSTALLED + "package.json"))
    assert package["version"] == nbllm.__version__
    assert INSTALLED + package["jupyterlab"]["_build"]["load"] in names
    assert INSTALLED + "install.json" in names
    assert {"nbllm/widgets/js/frame.js", "nbllm/widgets/css/frame.css"} <= set(names)
    # once, and without what it was made from
    assert not [name for name in names if name.startswith(("nbllm/labextension", "labextension"))]


def test_sdist(dist):
    """Holds the built extension, so that it installs without node, and the sources."""
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"nbllm/labextension/package.json", "labextension/yarn.lock"} <= names
    assert not [name for name in names if "node_modules" in name]
