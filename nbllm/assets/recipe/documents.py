"""What the parts of the corpus write: documents, exchanges, evaluation items, and their split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from zlib import crc32

BOS, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ("system", "user", "assistant")

Turn = tuple[str, str]
"""A role and what it says."""

Document = str | list[Turn]
"""A plain text, or the turns of a conversation."""

IDK = "I don't know"
"""How every answer about something outside the world begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A question and its answer, with the forms that a system instruction may ask for."""

    key: str
    """The content: what decides between training and held-out."""
    question: str
    answer: str
    short: str = ""
    """The answer in one word, if there is one."""
    french: str = ""
    spanish: str = ""
    accept: tuple[str, ...] = ()
    """Strings of which a right answer contains one; `short` when empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A held-out prompt and how its continuation is judged."""

    part: str
    prompt: Document
    expected: tuple[str, ...]
    check: str = "contains"
    """The name of a check in `evaluate.CHECKS`."""


def is_held_out(key: str) -> bool:
    """Whether the content named by `key` is kept from training: one in ten, by a stable hash."""
    return crc32(key.encode()) % 10 == 0


def draw(rng: Random, make: Callable[[Random], Exchange], held_out: bool) -> Exchange:
    """An exchange of the wanted split: `make` is called until one falls on its side."""
    while True:
        exchange = make(rng)
        if is_held_out(exchange.key) == held_out:
            return exchange


def chat(*turns: str, system: str = "") -> list[Turn]:
    """A conversation of alternating user and assistant turns."""
    document: list[Turn] = [("system", system)] if system else []
    document += [(ROLES[1 + i % 2], content) for i, content in enumerate(turns)]
    return document


def render(document: Document, prompt: bool = False) -> str:
    """The text that is tokenised, special tokens included; `prompt` leaves it open to continue."""
    if isinstance(document, str):
        return BOS + document + ("" if prompt else END)
    turns = "".join(f"<|{role}|>{content}{END}" for role, content in document)
    return BOS + turns + ("<|assistant|>" if prompt else "")
