"""The extension is in what we publish: a build that skipped it looks just like one that did not."""

import importlib.util
import json
import re
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
    schemas = {path.name for path in (ROOT / "labextension" / "schema").glob("*.json")}
    assert schemas == {
        name.rpartition("/")[2]
        for name in names
        if name.startswith(f"{INSTALLED}schemas/nbllm/") and name.endswith(".json")
    }
    assert {"nbllm/widgets/js/frame.js", "nbllm/widgets/css/frame.css"} <= set(names)
    # once, and without what it was made from
    assert not [name for name in names if name.startswith(("nbllm/labextension", "labextension"))]


def test_it_is_enabled_once_it_is_installed(dist, tmp_path):
    """With pip alone: no node, no further step."""
    wheel = next(dist.glob("*.whl"))
    # beside what is installed here, which stays
    options = ["--quiet", "--no-deps", "--ignore-installed", "--prefix", str(tmp_path)]
    pip = [sys.executable, "-m", "pip", "install", *options]
    environment = {
        "PATH": "",
        "HOME": str(tmp_path),
        "JUPYTER_PATH": str(tmp_path / "share/jupyter"),
    }
    subprocess.run([*pip, wheel], check=True, env=environment)
    lab = [sys.executable, "-m", "jupyter", "labextension", "list"]
    said = subprocess.run(lab, check=True, env=environment, capture_output=True, text=True).stderr
    [_, ours] = said.split(str(tmp_path / "share/jupyter"), 1)
    line = next(line for line in ours.splitlines() if line.split()[:1] == ["nbllm"])
    assert re.sub(r"\x1b\[\d*m", "", line).split() == [
        "nbllm", f"v{nbllm.__version__}", "enabled", "OK", "(python,", "nbllm)",
    ]  # fmt: skip


def test_sdist(dist):
    """Holds the built extension, so that it installs without node, and the sources."""
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"nbllm/labextension/package.json", "labextension/yarn.lock"} <= names
    assert not [name for name in names if "node_modules" in name]
