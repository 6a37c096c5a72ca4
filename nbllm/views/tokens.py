"""A completion token by token: shaded by probability, with the likeliest alternatives on hover."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from .visible import one_line, visible


def tokens(entries: list[dict[str, Any]]) -> str:
    """A run of spans; the class `nbllm-p0` (certain) … `nbllm-p9` (most unlikely) gives the shade."""
    return "".join(
        f'<span class="nbllm-p{_level(entry)}" title="{escape(_title(entry))}">{escape(visible(entry["text"]))}</span>'
        for entry in entries
    )


def _level(entry: dict[str, Any]) -> int:
    return min(9, int(10 * (1 - probability(entry["logprob"]))))


def _title(entry: dict[str, Any]) -> str:
    first = f"{percent(entry['logprob'])}  {quoted(entry['text'])}  rank {entry['rank']}"
    if entry.get("entropy") is not None and entry["top"]:
        first += f"  entropy {entry['entropy']:.2f}"
    return "\n".join([first, "", *(f"{percent(p)}  {quoted(text)}" for text, p in entry["top"])])


def quoted(text: str) -> str:
    return f"“{one_line(text)}”"


def probability(logprob: float | None) -> float:
    return 0.0 if logprob is None else math.exp(logprob)


def percent(logprob: float | None) -> str:
    return f"{100 * probability(logprob):5.1f} %"
