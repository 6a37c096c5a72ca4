"""A completion token by token: shaded by probability, with the likeliest alternatives on hover."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from .visible import one_line, visible


def tokens(entries: list[dict[str, Any]]) -> str:
    """A run of spans; the class `nbllm-p0` (certain) … `nbllm-p9` (most unlikely) gives the shade.

    So does `nbllm-e0` … `nbllm-e9`, from the entropy, where the box of `entropy_toggle` is checked.
    """
    return "".join(
        f'<span class="{_classes(entry)}" title="{escape(_title(entry))}">{escape(visible(entry["text"]))}</span>'
        for entry in entries
    )


def knows_entropy(entries: list[dict[str, Any]]) -> bool:
    """Whether there is another shade than that of the probability."""
    return any(len(entry["top"]) > 1 and entry.get("entropy") is not None for entry in entries)


ENTROPY_TOGGLE = (
    '<label class="nbllm-note nbllm-by-entropy"><input type="checkbox" /> shade by entropy</label>'
)
"""Works without a script; `style.TOKENS` has the rules."""


def _classes(entry: dict[str, Any]) -> str:
    levels = [f"nbllm-p{_level(1 - probability(entry['logprob']))}"]
    if entry.get("entropy") is not None:
        # 0 for one choice, a half for two equal ones, towards 1 for many
        levels.append(f"nbllm-e{_level(1 - math.exp(-entry['entropy']))}")
    return " ".join(levels)


def _level(share: float) -> int:
    return min(9, int(10 * share))


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
