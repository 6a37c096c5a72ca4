"""Two texts, word by word or token by token: what they share, and what each has alone."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from difflib import SequenceMatcher

MAX_WORDS = 1500
"""Of longer texts the rest is compared as one word: the time grows with the square."""

Part = tuple[bool, str]
"""Whether the other text has it too, and the words, with the white space after them."""

Span = tuple[bool, int, int, int, int]
"""Whether they are the same, where it begins and ends in one text, and where in the other."""

_WORD = re.compile(r"\S+\s*|\s+")


def word_diff(left: str, right: str) -> tuple[list[Part], list[Part]]:
    """The parts of both texts, in their order; joined they are the texts."""
    first, second = _words(left), _words(right)
    a, b = list[Part](), list[Part]()
    # white space alone makes no difference
    for same, i, j, k, m in _spans(_bare(first), _bare(second)):
        _add(a, same, first[i:j])
        _add(b, same, second[k:m])
    return a, b


def token_diff(left: Sequence[int], right: Sequence[int]) -> list[Span]:
    """The spans of two lists of token ids, in their order; together they are all of both."""
    start = next(
        (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
        min(len(left), len(right)),
    )
    # what they begin with alike costs nothing, however long it is
    a, b = left[start : start + MAX_WORDS], right[start : start + MAX_WORDS]
    spans: list[Span] = [(True, 0, start, 0, start)] * (start > 0)
    for same, i, j, k, m in _spans(a, b):
        spans.append((same, start + i, start + j, start + k, start + m))
    i, k = start + len(a), start + len(b)
    if i < len(left) or k < len(right):
        spans.append((False, i, len(left), k, len(right)))
    return spans


def _spans(first: Sequence[Hashable], second: Sequence[Hashable]) -> list[Span]:
    codes = SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    return [(kind == "equal", i, j, k, m) for kind, i, j, k, m in codes]


def _words(text: str) -> list[str]:
    words = _WORD.findall(text)
    return [*words[:MAX_WORDS], "".join(words[MAX_WORDS:])] if len(words) > MAX_WORDS else words


def _bare(words: list[str]) -> list[str]:
    return [word.strip() for word in words]


def _add(parts: list[Part], shared: bool, words: list[str]) -> None:
    if words:
        parts.append((shared, "".join(words)))
