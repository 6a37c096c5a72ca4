"""A small phrase grammar: `[a|b]` picks an alternative, `{slot}` is filled in, both nest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from random import Random

Node = str | tuple  # text, ("slot", name) or ("choice", [nodes, ...])


@cache
def parse(template: str) -> list[Node]:
    """The template as a sequence of texts, slots and choices."""
    nodes, end = _sequence(template, 0, "|]")
    if end != len(template):
        raise ValueError(f"unbalanced bracket at {end} in {template!r}")
    return nodes


def _sequence(template: str, i: int, stops: str) -> tuple[list[Node], int]:
    nodes: list[Node] = []
    start = i
    while i < len(template) and template[i] not in stops:
        if template[i] not in "[{":
            i += 1
            continue
        if start < i:
            nodes.append(template[start:i])
        if template[i] == "{":
            end = template.index("}", i)
            nodes.append(("slot", template[i + 1 : end]))
            i = end + 1
        else:
            options = []
            while template[i] != "]":
                option, i = _sequence(template, i + 1, "|]")
                options.append(option)
            nodes.append(("choice", options))
            i += 1
        start = i
    if start < i:
        nodes.append(template[start:i])
    return nodes, i


def _expand(
    rng: Random, nodes: Sequence[Node], slots: Mapping[str, object], out: list[str]
) -> None:
    for node in nodes:
        if isinstance(node, str):
            out.append(node)
        elif node[0] == "slot":
            out.append(str(slots[node[1]]))
        else:
            _expand(rng, pick(rng, node[1]), slots, out)


def fill(rng: Random, template: str, slots: Mapping[str, object] = {}) -> str:
    """One random expansion of `template`."""
    out: list[str] = []
    _expand(rng, parse(template), slots, out)
    return "".join(out)


def pick(rng: Random, options: Sequence):
    """A random element; twice as fast as `Random.choice`, and this is the inner loop."""
    return options[int(rng.random() * len(options))]


def words(text: str) -> tuple[str, ...]:
    """The words of a text: how this package writes its longer lists."""
    return tuple(text.split())


def an(noun: str) -> str:
    """The noun with its indefinite article."""
    vowel = noun[0].lower() in "aeiou" and noun[:3] != "uni"
    return f"an {noun}" if vowel or noun.startswith("honest") else f"a {noun}"


def upper_first(text: str) -> str:
    """The text with a capital first letter, the rest untouched."""
    return text[:1].upper() + text[1:]


def join(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else words[0]
