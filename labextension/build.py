"""Builds the JupyterLab extension while pip builds nbllm; hatch-jupyter-builder calls `build`."""

import os
import shutil
import subprocess
from urllib.parse import urlsplit

from hatch_jupyter_builder.utils import npm_builder


def build(target_name: str, version: str, path: str) -> None:
    """Installs the packages of yarn.lock in `path`, compiles and bundles into nbllm/labextension."""
    if not shutil.which("node"):
        raise RuntimeError(
            "node was not found: the JupyterLab extension of nbllm is built with it. Install "
            "Node.js 20.19 or newer, or set SKIP_JUPYTER_BUILDER=1 to install nbllm without it."
        )
    os.environ.update(_registry(path))
    npm_builder(target_name, version, path=path, npm="jlpm", build_cmd="build")


def _registry(path: str) -> dict[str, str]:
    """npm's registry for jlpm, a Yarn that does not read npm's settings; its own setting wins."""
    npm = shutil.which("npm")
    if "YARN_NPM_REGISTRY_SERVER" in os.environ or not npm:
        return {}
    found = subprocess.run(
        [npm, "config", "get", "registry"], cwd=path, capture_output=True, text=True, check=False
    )
    # Yarn joins paths with a slash of its own, and refuses plain http except from hosts named here
    url = urlsplit(found.stdout.strip().rstrip("/"))
    if url.scheme == "https":
        return {"YARN_NPM_REGISTRY_SERVER": url.geturl()}
    if url.scheme == "http" and url.hostname:
        allowed = {"YARN_UNSAFE_HTTP_WHITELIST": url.hostname}
        return {"YARN_NPM_REGISTRY_SERVER": url.geturl()} | allowed
    return {}
