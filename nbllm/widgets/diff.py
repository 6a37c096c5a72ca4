"""Two texts, word by word: what they share, and what each has alone."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

MAX_WORDS = 1500
"""Of longer texts the rest is compared as one word: the time grows with the square."""

Part = tuple[bool, str]
"""Whether the other text has it too, and the words, with the white space after them."""

_WORD = re.compile(r"\S+\s*|\s+")


def word_diff(left: str, right: str) -> tuple[list[Part], list[Part]]:
    """The parts of both texts, in their order; joined they are the texts."""
    first, second = _words(left), _words(right)
    # white space alone makes no difference
    matcher = SequenceMatcher(None, _bare(first), _bare(second), autojunk=False)
    a, b = list[Part](), list[Part]()
    for kind, i, j, k, m in matcher.get_opcodes():
        _add(a, kind == "equal", first[i:j])
        _add(b, kind == "equal", second[k:m])
    return a, b


def _words(text: str) -> list[str]:
    words = _WORD.findall(text)
    return [*words[:MAX_WORDS], "".join(words[MAX_WORDS:])] if len(words) > MAX_WORDS else words


def _bare(words: list[str]) -> list[str]:
    return [word.strip() for word in words]


def _add(parts: list[Part], shared: bool, words: list[str]) -> None:
    if words:
        parts.append((shared, "".join(words)))
