"""What is installed, and with a MODEL what that is.

The model is loaded for it, since only then its memory is known.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ... import __version__
from .model_flags import add_model, load

PACKAGES = ("torch", "triton", "transformers", "tokenizers", "pandas", "ipython", "jupyterlab")
EXTRAS = {
    "grammar": ("llguidance",),
    "parquet": ("pyarrow",),
    "server": ("starlette", "uvicorn", "httptools", "pydantic", "prometheus_client"),
    "lab": ("jupyterlab",),
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.set_defaults(model=None)
    parser.add_argument("--as-json", action="store_true", help="one JSON object instead of a table")


def run(args: argparse.Namespace) -> None:
    found: dict[str, Any] = installed()
    if args.model is not None:
        with load(args) as llm:
            found["model"] = asdict(llm.info())
    if args.as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        _print(name, value)


def installed() -> dict[str, Any]:
    """Versions, devices and extras."""
    from ...engine.devices import devices

    return {
        "nbllm": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        **{name: found for name in PACKAGES if (found := _version(name))},
        "devices": devices(),
        "extras": {name: _extra(name) for name in EXTRAS},
    }


def _extra(name: str) -> str:
    missing = [package for package in EXTRAS[name] if _version(package) is None]
    return f"needs {', '.join(missing)}: pip install 'nbllm[{name}]'" if missing else "installed"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _print(name: str, value: Any, indent: str = "") -> None:
    if isinstance(value, dict):
        print(f"{indent}{name}")
        for key, inner in value.items():
            _print(key, inner, indent + "    ")
    elif isinstance(value, list):
        print(f"{indent}{name:<20} {', '.join(map(str, value))}")
    else:
        shown = f"{value:,}" if isinstance(value, int) else value
        print(f"{indent}{name:<20} {shown}")
