"""A completion token by token: shaded by probability, with the likeliest alternatives on hover."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from .visible import visible


def tokens(entries: list[dict[str, Any]]) -> str:
    """A run of spans; the class `nbllm-p0` (certain) … `nbllm-p9` (most unlikely) gives the shade."""
    return "".join(
        f'<span class="nbllm-p{_level(entry)}" title="{escape(_title(entry))}">{escape(visible(entry["text"]))}</span>'
        for entry in entries
    )


def _level(entry: dict[str, Any]) -> int:
    return min(9, int(10 * (1 - _probability(entry["logprob"]))))


def _title(entry: dict[str, Any]) -> str:
    first = f"{_percent(entry['logprob'])}  {_quoted(entry['text'])}  rank {entry['rank']}"
    return "\n".join([first, "", *(f"{_percent(p)}  {_quoted(text)}" for text, p in entry["top"])])


def _quoted(text: str) -> str:
    return "“" + visible(text).replace("\n", "⏎").replace("\t", "⇥") + "”"


def _probability(logprob: float | None) -> float:
    return 0.0 if logprob is None else math.exp(logprob)


def _percent(logprob: float | None) -> str:
    return f"{100 * _probability(logprob):5.1f} %"
