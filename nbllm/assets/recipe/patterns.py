"""Lists of pairs that follow one rule: what makes few-shot prompts work."""

from __future__ import annotations

from random import Random

from . import lexicon as lx
from . import world as w
from .documents import Document
from .geography import CAPITAL, LANGUAGE
from .grammar import pick, upper_first

ARROWS = (" -> {}", ": {}", " = {}", " => {}", " - {}", " → {}", ", {}")


def _pairs(rng: Random) -> list[tuple[str, str]]:
    """Six pairs of one rule."""
    rule = int(rng.random() * 11)
    if rule == 0:
        return rng.sample(sorted(CAPITAL.items()), 6)
    if rule == 1:
        return rng.sample(sorted(w.OPPOSITE.items()), 6)
    if rule == 2:
        return rng.sample(sorted(w.PLURAL.items()), 6)
    if rule in (3, 4, 5):
        column = 1 + int(rng.random() * 2)
        nouns = [(n.en, n.fr if column == 1 else n.es) for n in rng.sample(lx.NOUNS, 4)]
        return nouns + [(row[0], row[column]) for row in rng.sample(lx.WORDS, 3)]
    if rule == 6:
        return rng.sample(sorted(w.SOUND.items()), 6)
    if rule == 7:
        return rng.sample(sorted(LANGUAGE.items()), 6)
    if rule == 8:
        return [(word, str(i)) for i, word in rng.sample(list(enumerate(w.NUMBERS)), 6)]
    words = [
        pick(rng, w.ANIMALS) if rng.random() < 0.6 else w.made_up(rng).lower() for _ in range(6)
    ]
    if rule == 9:
        return [(word, word.upper()) for word in words]
    return [(word, upper_first(word)) for word in words]


def document(rng: Random) -> Document:
    """Three to six pairs of one rule, one a line."""
    pairs = _pairs(rng)
    if rng.random() < 0.25:
        pairs = [(y, x) for x, y in pairs]
    form = "{}" + pick(rng, ARROWS)
    if rng.random() < 0.15:
        form = pick(rng, ("Input: {}\nOutput: {}", "Q: {}\nA: {}", "in: {} out: {}"))
    return "\n".join(form.format(*pair) for pair in pairs[: 3 + int(rng.random() * 4)])
