"""How the continuation of a held-out prompt is judged."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence

from .world import DAYS, MONTHS, NAMES


def contains(text: str, expected: Sequence[str]) -> bool:
    """One of the expected answers occurs as a word; a number has to be the last number."""
    numbers = re.findall(r"-?\d+", text)
    for answer in expected:
        if re.fullmatch(r"-?\d+", answer):
            if numbers and numbers[-1] == answer:
                return True
        elif re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text, re.IGNORECASE):
            return True
    return False


def starts(text: str, expected: Sequence[str]) -> bool:
    """The text begins with an expected answer."""
    text = text.lstrip(" '\"").lower()
    return any(re.match(rf"{re.escape(answer.lower())}(?!\w)", text) for answer in expected)


def number(text: str, expected: Sequence[str]) -> bool:
    """The text begins with exactly the expected number."""
    found = re.match(r"\s*(-?\d+)", text)
    return bool(found) and found.group(1) in expected


def exact(text: str, expected: Sequence[str]) -> bool:
    """The first line is the expected one."""
    return text.strip().split("\n")[0] in expected


def equal_json(text: str, expected: Sequence[str]) -> bool:
    """The first line is valid JSON with the expected content."""
    try:
        return json.loads(text.strip().split("\n")[0]) == json.loads(expected[0])
    except ValueError:
        return False


def matches(text: str, expected: Sequence[str]) -> bool:
    """The text matches a regular expression."""
    return re.search(expected[0], text.strip(), re.IGNORECASE) is not None


def obeyed(text: str, expected: Sequence[str]) -> bool:
    """The answer has the form that the instruction, named first, asks for."""
    kind, answer = expected
    text = text.strip()
    if kind in ("French", "Spanish", "one word"):
        return text.rstrip(".!").lower() == answer.rstrip(".!").lower()
    if kind == "capitals":
        return bool(text) and text == text.upper()
    if kind == "lower case":
        return bool(text) and text == text.lower()
    return text.startswith("Of course")


CHECKS: dict[str, Callable[[str, Sequence[str]], bool]] = {
    "contains": contains,
    "starts": starts,
    "number": number,
    "exact": exact,
    "json": equal_json,
    "matches": matches,
    "obeyed": obeyed,
}

_INTRODUCED = re.compile(
    r"(?:named|called|[Nn]ame was|story of) ([A-Z][a-z]+)"
    r"|([A-Z][a-z]+)(?: the [a-z]+| was an? |, an? )"
)
_CAPITALISED = re.compile(r"(?<![.!?:\"] )(?<![.!?\"\n])(?<!^)\b([A-Z][a-z]+)\b")
_NOT_NAMES = {*DAYS, *MONTHS, "I", "Friends", "The"}


def strangers(story: str) -> set[str]:
    """Names in a story that it never introduces: those of the world, and words written like one."""
    names = {word for word in re.findall(r"\b[A-Z][a-z]+\b", story) if word in NAMES}
    names |= set(_CAPITALISED.findall(story)) - _NOT_NAMES
    introduced = {name for pair in _INTRODUCED.findall(story) for name in pair if name}
    return names - introduced


def grams(text: str, n: int = 4) -> list[tuple[str, ...]]:
    """The n-grams of the words of a text."""
    words = re.findall(r"\w+|[^\w\s]", text.lower())
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def most_repeated(text: str) -> int:
    """How often the commonest four-gram occurs."""
    return max(Counter(grams(text)).values(), default=0)


def distinct(texts: Sequence[str]) -> float:
    """Different four-grams over all four-grams of the texts."""
    everything = [gram for text in texts for gram in grams(text)]
    return len(set(everything)) / max(1, len(everything))
