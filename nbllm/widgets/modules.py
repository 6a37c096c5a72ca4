"""ES modules and style sheets without a bundler: a text with what it needs in front of it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


@cache
def esm(name: str) -> str:
    """The module js/NAME.js as one text: what it imports from the files beside it comes first, once each.

    A front end gets a widget's module as a text without an address, so it could not import others by
    path. The files stay modules, for TypeScript, tests and other programs. In the text they share one
    scope: top-level names differ between files.
    """
    parts: dict[str, str] = {}
    _collect(name, parts)
    return "\n".join(parts.values())


def css(*names: str) -> str:
    """The style sheets css/NAME.css as one text."""
    return "\n".join((HERE / "css" / f"{name}.css").read_text("utf-8") for name in names)


def _collect(name: str, parts: dict[str, str]) -> None:
    source = (HERE / "js" / f"{name}.js").read_text("utf-8")
    for needed in _IMPORT.findall(source):
        if needed not in parts:
            _collect(needed, parts)
    parts[name] = _EXPORT.sub("", _IMPORT.sub("", source))
