"""What may be written in the `{{ }}` of a prompt cell: columns of `--over`, variables, filters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..templating import CLOSING, OPENING, filters

if TYPE_CHECKING:
    from .magics import Nbllm

CELL_MAGICS = (
    *("generate", "chat", "beam", "score", "choose", "compare"),
    *("playground", "tokenexplorer", "beamexplorer", "promptgrid", "chatui"),
)
"""Those whose cell is a prompt; labextension/src/prompt.ts has them too."""
_PROMPT = re.compile(rf"\s*%%({'|'.join(CELL_MAGICS)})\b")
_OVER = re.compile(r"\s--over[ =]+(\w+)")
_WORD = re.compile(r"\w*$")


@dataclass(slots=True, frozen=True)
class Suggestion:
    """What may be typed. kind: flag, value, column, variable or filter. help: a line about it."""

    text: str
    kind: str
    help: str


def word_before(text: str) -> str:
    """The name at the end of `text`, as far as it is typed."""
    found = _WORD.search(text)
    return found[0] if found else ""


def names(magics: Nbllm, before: str) -> list[Suggestion]:
    """What may be written at the end of `before`, a prompt cell up to a place in its `{{ }}`."""
    head, _, prompt = before.partition("\n")
    inside = prompt.rpartition(OPENING)[2]
    if not (_PROMPT.match(head) and OPENING in prompt) or CLOSING in inside or "--raw" in head:
        return []
    typed = inside.removesuffix(word_before(inside)).rstrip()
    if typed.endswith("|"):
        return [Suggestion(name, "filter", _first_line(f)) for name, f in sorted(filters().items())]
    if typed and typed[-1] not in "(,+-*/%<>=~[:":
        # behind a dot, a quote or another name
        return []
    return [*_columns(magics, head), *_variables(magics)]


def _columns(magics: Nbllm, head: str) -> Iterator[Suggestion]:
    """Of the frame that `--over` names."""
    found = _OVER.search(head)
    frame = found[1] if found else ""
    for column in getattr(magics.shell.user_ns.get(frame), "columns", ()):
        if isinstance(column, str) and column.isidentifier():
            yield Suggestion(column, "column", f"a column of {frame}")


def _variables(magics: Nbllm) -> Iterator[Suggestion]:
    for name, value in list(magics.shell.user_ns.items()):
        hidden = name[0] == "_" or name in magics.shell.user_ns_hidden
        if not hidden and not callable(value) and not isinstance(value, ModuleType):
            yield Suggestion(name, "variable", type(value).__name__)


def _first_line(function: Any) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0]
