"""Random JSON schemas whose instances are short enough to be generated."""

from random import Random
from typing import Any

WORDS = ["name", "age", "city", "a b", "é", 'q"t', "x-1", "tags"]
PATTERNS = ["^[a-z]{1,6}$", "^[A-Z][0-9]{2}$", r"^\d{3}-\d{2}$", "^(on|off)$", "^.{0,5}$"]


def schema(r: Random, depth: int = 2) -> dict[str, Any]:
    """Any kind of value; objects and arrays at most `depth` deep."""
    kinds = [text, text, integer, number, choice, simple]
    if depth:
        kinds += [record, record, array, either]
    return r.choice(kinds)(r, depth)


def text(r: Random, depth: int) -> dict[str, Any]:
    kind = r.randrange(4)
    if kind == 0:
        return {"type": "string", "pattern": r.choice(PATTERNS)}
    if kind == 1:
        return {"type": "string", "format": r.choice(["date", "uuid", "ipv4"])}
    low = r.randrange(4)
    return {"type": "string", "minLength": low, "maxLength": low + r.randrange(6)}


def integer(r: Random, depth: int) -> dict[str, Any]:
    low = r.randint(-1000, 1000)
    found: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": low + r.randrange(500)}
    if r.random() < 0.3:
        found = {"type": "integer", "exclusiveMinimum": low, "exclusiveMaximum": low + 7}
    return found


def number(r: Random, depth: int) -> dict[str, Any]:
    low = round(r.uniform(-50, 50), 2)
    return {"type": "number", "minimum": low, "maximum": round(low + r.uniform(1, 90), 2)}


def choice(r: Random, depth: int) -> dict[str, Any]:
    values = r.sample([1, 2.5, "red", "blue", True, None, [1, 2], {"k": "v"}], r.randint(1, 4))
    return {"const": values[0]} if r.random() < 0.3 else {"enum": values}


def simple(r: Random, depth: int) -> dict[str, Any]:
    return {"type": r.choice(["boolean", "null", ["boolean", "null"]])}


def record(r: Random, depth: int) -> dict[str, Any]:
    names = r.sample(WORDS, r.randint(1, 4))
    return {
        "type": "object",
        "properties": {name: schema(r, depth - 1) for name in names},
        "required": [name for name in names if r.random() < 0.6],
        "additionalProperties": False,
    }


def array(r: Random, depth: int) -> dict[str, Any]:
    low = r.randrange(3)
    return {
        "type": "array",
        "items": schema(r, depth - 1),
        "minItems": low,
        "maxItems": low + r.randrange(3),
    }


def either(r: Random, depth: int) -> dict[str, Any]:
    return {"anyOf": [schema(r, depth - 1) for _ in range(r.randint(2, 3))]}
