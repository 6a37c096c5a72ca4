"""nbllm's docstrings as reStructuredText.

They are prose in which `name: what it is` begins the description of a parameter or a field, at the
beginning of a line or after a sentence, in which `backticks` are code, and in which a line that ends
before it is full ends a paragraph:

    prompts: a string, or a list. params: one for all        (prompts)
    of them, or one each.                               →        a string, or a list.
                                                             (params)
                                                                 one for all of them, or one each.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import groupby, pairwise
from typing import Any

import nbllm
from nbllm import errors

ENTRY = re.compile(r"(?:^|\n|(?<=[.;]) )(\w+(?:, \w+)*): ")
FULL = 84
"""Characters of a line of the shortest kind: that of a method's docstring."""
CODE = re.compile(r"(`[^`]+`)")


def converted(lines: list[str], known: set[str]) -> list[str]:
    """The lines of a docstring as reStructuredText. known: names that an entry may begin with."""
    groups = [
        list(group) for blank, group in groupby(lines, lambda line: not line.strip()) if not blank
    ]
    parts = [_paragraph(part, known) for group in groups for part in _parts(group)]
    return [line for part in parts for line in (*part, "")]


def names_of(obj: Any) -> set[str]:
    """Parameters of a function; of a class also its fields."""
    try:
        found = set(inspect.signature(obj).parameters)
    except (TypeError, ValueError):
        found = set()
    if inspect.isclass(obj):
        found |= {name for name in dir(obj) if not name.startswith("_")}
        found |= {field.name for field in fields(obj)} if is_dataclass(obj) else set()
        found |= {name for base in obj.__mro__ for name in getattr(base, "__annotations__", {})}
    return found


def _parts(lines: list[str]) -> Iterator[list[str]]:
    """Paragraphs, which end with a sentence at the end of a line that has room for the next word."""
    begin = 0
    for i, (line, after) in enumerate(pairwise(lines), 1):
        room = len(line) + 1 + len(after.split()[0]) <= FULL
        if line.endswith(".") and room and not _is_example(lines):
            yield lines[begin:i]
            begin = i
    yield lines[begin:]


def _is_example(lines: list[str]) -> bool:
    return lines[0].lstrip().startswith(">>>")


def _paragraph(lines: list[str], known: set[str]) -> list[str]:
    if _is_example(lines):
        return lines
    text = "\n".join(line.strip() for line in lines)
    starts = [match for match in ENTRY.finditer(text) if set(match[1].split(", ")) <= known]
    if not starts:
        return [_inline(text.replace("\n", " "))]
    before = text[: starts[0].start()].strip()
    ends = [*(match.start() for match in starts[1:]), len(text)]
    entries = [
        line
        for match, end in zip(starts, ends, strict=True)
        for line in _entry(match[1], text[match.end() : end])
    ]
    return [*([_inline(before.replace("\n", " ")), ""] if before else []), *entries]


def _entry(names: str, text: str) -> Iterator[str]:
    yield ", ".join(f"``{name}``" for name in names.split(", "))
    yield f"    {_inline(' '.join(text.split()))}"


def _inline(text: str) -> str:
    """Code in double backticks, or a link where it is a public name; the rest is literal text."""
    return "".join(
        _code(part) if CODE.fullmatch(part) else _escaped(part) for part in CODE.split(text)
    )


def _code(part: str) -> str:
    name = part.strip("`").removeprefix("nbllm.")
    if name in PUBLIC:
        return f":py:obj:`{name} <{PUBLIC[name]}>`"
    return f"``{part[1:-1]}``"


def _escaped(text: str) -> str:
    return re.sub(r"([*|\\]|\b_|_\b)", r"\\\1", text)


PUBLIC = {
    **{name: f"nbllm.errors.{name}" for name in vars(errors) if name.endswith("Error")},
    "GenerationInterrupted": "nbllm.errors.GenerationInterrupted",
    **{name: f"nbllm.{name}" for name in nbllm.__all__ if name != "last"},
}
"""What docstrings link to → its address in the reference."""


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = converted(lines, names_of(obj))


def _without_signature(app: Any, what: str, name: str, obj: Any, *_: Any) -> tuple[str, str] | None:
    """Of a class that only nbllm makes objects of: how it is made is nobody's business."""
    made = name.startswith(("nbllm.notebook.", "nbllm.outputs.BeamSearchSequence"))
    return ("", "") if what == "class" and made else None


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process)
    app.connect("autodoc-process-signature", _without_signature)
    return {"parallel_read_safe": True}
