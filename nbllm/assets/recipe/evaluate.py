"""The evaluation of a model folder on held-out items, through any engine that can generate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Protocol

from . import (
    arithmetic,
    conversation,
    extraction,
    facts,
    paraphrases,
    reviews,
    stories,
    translation,
)
from .checks import CHECKS, distinct, most_repeated, strangers
from .documents import Item, render


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine wrote, and whether it came to its end."""

    text: str
    finished: bool


class Engine(Protocol):
    """What the evaluation needs of an engine; prompts are rendered, special tokens included."""

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        num_beams: int = 1,
        temperature: float = 0.0,
    ) -> list[Completion]:
        """One completion a prompt: greedy, by beam search, or sampled."""
        ...

    def probability(self, prompts: Sequence[str], word: str) -> list[float]:
        """The probability that each prompt goes on with this word, one token long."""
        ...


@dataclass(slots=True, kw_only=True)
class Result:
    """One row of the table: a part, how it was decoded, and how much of it was right."""

    part: str
    decoding: str
    value: float
    items: int
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    """Prompt, output and what was expected, of the items that went wrong."""

    def row(self) -> dict[str, str | float]:
        """The result without its failures."""
        return {k: v for k, v in asdict(self).items() if k != "failures"}


def heldout_items(n: int, seed: str = "evaluation") -> dict[str, list[Item]]:
    """`n` held-out items of every part."""
    rng = Random(seed)
    return {
        "capitals": facts.capital_items(rng, n),
        "facts": facts.items(rng, n),
        "unknown": facts.unknown_items(rng, n),
        "arithmetic": arithmetic.items(rng, n),
        "comparison and counting": arithmetic.other_items(rng, n),
        "translation": translation.items(rng, n),
        "garden path": translation.items(rng, n, garden=True),
        "sentiment": reviews.items(rng, n),
        "mixed sentiment": reviews.items(rng, n, mixed=True),
        "topic": reviews.topic_items(rng, n),
        "extraction": extraction.items(rng, n),
        "name recall": conversation.name_items(rng, n),
        "system instruction": conversation.system_items(rng, n),
        "stories": stories.items(rng, n),
        "paraphrases": paraphrases.items(),
        "familiar prompts": paraphrases.familiar_items(),
    }


MAX_TOKENS = {
    "comparison and counting": 96,
    "extraction": 80,
    "stories": 200,
    "paraphrases": 200,
    "familiar prompts": 200,
    "translation": 48,
    "garden path": 48,
}
BEAMS = 5


def judge(engine: Engine, part: str, items: list[Item], num_beams: int = 1) -> Result:
    """The share of items whose greedy (or beam) continuation passes its check."""
    outputs = engine.generate(
        [render(item.prompt, prompt=True) for item in items],
        max_tokens=MAX_TOKENS.get(part, 40),
        num_beams=num_beams,
    )
    failures = [
        (last_words(item), output.text, item.expected[-1])
        for item, output in zip(items, outputs, strict=True)
        if not CHECKS[item.check](output.text, item.expected)
    ]
    decoding = "greedy" if num_beams == 1 else f"beam {num_beams}"
    value = 1 - len(failures) / len(items)
    return Result(part=part, decoding=decoding, value=value, items=len(items), failures=failures)


def last_words(item: Item) -> str:
    """The prompt as one line: the system's instruction and the last turn, or the text."""
    if isinstance(item.prompt, str):
        return item.prompt
    system = [f"({text}) " for role, text in item.prompt if role == "system"]
    return "".join(system) + item.prompt[-1][1]


def judge_mixed(engine: Engine, items: list[Item]) -> Result:
    """The mean probability of "positive" on reviews that say both."""
    values = engine.probability([render(item.prompt, prompt=True) for item in items], " positive")
    mean = sum(values) / len(values)
    return Result(
        part="mixed sentiment, mean P(positive)", decoding="scored", value=mean, items=len(items)
    )


def judge_stories(engine: Engine, items: list[Item], temperature: float = 0.8) -> list[Result]:
    """What sampled stories are like: their end, their characters, their repetitions."""
    prompts = [render(item.prompt, prompt=True) for item in items]
    outputs = engine.generate(prompts, max_tokens=200, temperature=temperature)
    texts = [
        (item.prompt if isinstance(item.prompt, str) else "") + output.text
        for item, output in zip(items, outputs, strict=True)
    ]
    unknown = [(text, ", ".join(strangers(text))) for text in texts]
    shares = {
        "stories that end within 200 tokens": [o.finished for o in outputs],
        "stories with introduced characters only": [not names for _, names in unknown],
        "stories without a four-gram said three times": [most_repeated(t) <= 2 for t in texts],
    }
    decoding = f"sampled at {temperature}"
    results = [
        Result(part=part, decoding=decoding, value=sum(good) / len(good), items=len(good))
        for part, good in shares.items()
    ]
    results[1].failures = [(text[-160:], names, "") for text, names in unknown if names]
    diversity = distinct(texts)
    results.append(
        Result(
            part="stories, distinct four-grams",
            decoding=decoding,
            value=diversity,
            items=len(texts),
        )
    )
    return results


def evaluate(engine: Engine, items: dict[str, list[Item]]) -> list[Result]:
    """The whole table."""
    results = []
    for part, some in items.items():
        if part == "stories":
            results += judge_stories(engine, some)
        elif part == "mixed sentiment":
            results.append(judge_mixed(engine, some))
        else:
            results.append(judge(engine, part, some))
            if part in ("translation", "garden path"):
                results.append(judge(engine, part, some, num_beams=BEAMS))
    return results


def as_text(results: list[Result], failures: int = 3) -> str:
    """Some failures of each part, and the table, as plain text."""
    lines = []
    for r in results:
        for prompt, output, expected in r.failures[:failures]:
            shown = (repr(part[-90:]) for part in (prompt, output[:90], expected))
            lines.append(f"[{r.part}, {r.decoding}] " + " -> ".join(shown))
    lines += [f"{r.part:46} {r.decoding:15} {r.value:7.1%} of {r.items}" for r in results]
    return "\n".join(lines)
