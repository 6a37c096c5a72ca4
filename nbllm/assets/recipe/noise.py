"""How people really type: lower case, missing punctuation, politeness, a slip of the finger."""

from __future__ import annotations

import re
from random import Random

from .grammar import fill, pick, upper_first

BEFORE_REQUEST = (
    "[please|can you|could you|can you please|could you please|would you|will you|I want you to] ",
    "[hey|hi|hello|ok|okay|well|now|so][,|] [please|can you|] ",
)
BEFORE = (
    "[please |can you |could you |can you please |could you please |will you |would you ]tell me[,|:|] ",
    "[do you know|do you happen to know|any idea|I want to know|I'd like to know|I would like to know] ",
    "[hey|hi|hello|ok|okay|so|well|now|um|excuse me|sorry|please][,|] ",
    "[quick question|question|next question|one more question|another question|a question for you][:|,|] ",
    "[I wonder|I am wondering|I was wondering|let me ask|I forgot|help me][,|:] ",
)
AFTER = (" please", ", please", " thanks", ", thank you", " in your opinion", " again", " exactly")
CONTRACTIONS = (
    ("What is ", "What's "),
    ("Who is ", "Who's "),
    ("Where is ", "Where's "),
    ("I am ", "I'm "),
    ("do not ", "don't "),
    ("you are ", "you're "),
)


def ask(rng: Random, question: str) -> str:
    """The question as somebody might type it: politeness, then `typed`."""
    if rng.random() < 0.12:
        openings = BEFORE if question.endswith("?") else BEFORE_REQUEST
        opening = fill(rng, pick(rng, openings)).replace("  ", " ")
        question = upper_first(opening + question[0].lower() + question[1:])
    if rng.random() < 0.06:
        mark = question[-1] if question[-1] in "?.!" else ""
        question = question.rstrip("?.!") + pick(rng, AFTER) + mark
    return typed(rng, question)


def typed(rng: Random, text: str, slips: bool = True) -> str:
    """Contractions, capitals, punctuation and slips varied at random; half the time untouched."""
    if rng.random() < 0.45:
        return text
    if slips and rng.random() < 0.05:
        text = slip(rng, text)
    for long, short in CONTRACTIONS:
        if long in text and rng.random() < 0.5:
            text = text.replace(long, short)
    roll = rng.random()
    if roll < 0.45:
        text = text.lower()
    elif roll < 0.50:
        text = text.upper()
    elif roll < 0.55:
        text = text[:1].lower() + text[1:]
    roll = rng.random()
    if roll < 0.40:
        text = text.rstrip("?.! ")
    elif roll < 0.44:
        text = text.rstrip("?.! ") + pick(rng, ("?", "!", "??", "...", " ?"))
    if rng.random() < 0.15:
        text = text.replace("'", "")
    return text


_LONG_WORD = re.compile(r"\b[a-z]{5,}\b")


def slip(rng: Random, text: str) -> str:
    """One letter lost, doubled or swapped with its neighbour, in a long word that is no name."""
    words = _LONG_WORD.findall(text)
    if not words:
        return text
    word = pick(rng, words)
    i = 1 + int(rng.random() * (len(word) - 2))
    middle = pick(rng, (word[i + 1] + word[i], word[i + 1], word[i] * 2 + word[i + 1]))
    return text.replace(word, word[:i] + middle + word[i + 2 :], 1)
