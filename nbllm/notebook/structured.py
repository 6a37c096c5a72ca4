"""`--json`, `--regex`, `--choice` …: what the output has to look like."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument

from ..sampling_params import StructuredOutputsParams
from .flags import switch
from .templates import Template
from .variables import variable

STRUCTURED_FLAGS = (
    argument(
        "--json", metavar="SCHEMA",
        help="the output is JSON that fits: a variable (a dictionary or a pydantic class), or the schema",
    ),
    switch("--json-object", help="the output is a JSON object, whatever is in it"),
    argument("--regex", metavar="REGEX", help="the whole output matches"),
    argument("--grammar", metavar="GRAMMAR", help="in Lark or EBNF: a variable, or the grammar"),
    argument("--whitespace-pattern", metavar="REGEX", help="whitespace between JSON's tokens"),
)  # fmt: skip
PROCESSORS = argument(
    "--logits-processors", metavar="NAME",
    help="a variable: f(token_ids, logits) -> logits, or a list of these",
)  # fmt: skip
CHOICE_FLAGS = (
    argument(
        "-c", "--choice", action="append", metavar="TEXT", help="one of these; to be repeated"
    ),
    argument("--choices", metavar="NAME", help="a variable: the list of them"),
)

_FIELDS = ("json", "regex", "grammar", "json_object", "whitespace_pattern")


def structured(args: Namespace, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `SamplingParams`, or of `BeamSearchParams`, that the flags give, if any."""
    found = {name: value for name in _FIELDS if (value := getattr(args, name)) is not None}
    if "json" in found:
        found["json"] = _schema(found["json"], namespace)
    if (name := found.get("grammar", "")).isidentifier():
        found["grammar"] = variable("--grammar", name, namespace)
    if choice := choices(args, namespace):
        # a variable's texts are literal, a flag's are not
        literal = args.raw or args.choices
        found["choice"] = choice if literal else [Template(c).render(namespace) for c in choice]
    given: dict[str, Any] = {}
    if found:
        given["structured_outputs"] = StructuredOutputsParams(**found)
    if name := getattr(args, "logits_processors", None):
        given["logits_processors"] = variable("--logits-processors", name, namespace)
    return given


def choices(args: Namespace, namespace: Mapping[str, Any]) -> list[str]:
    """What `--choice` and `--choices` say; empty for nothing."""
    if not args.choices:
        return args.choice or []
    if args.choice:
        raise UsageError("--choice gives choices one by one, --choices a list of them: use one")
    # a Series or an Index, too
    value = variable("--choices", args.choices, namespace)
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        kind = type(value).__name__
        raise UsageError(f"--choices {args.choices}: that is a {kind}, a list of texts is needed")
    return list(value)


def _schema(text: str, namespace: Mapping[str, Any]) -> Any:
    if not text.lstrip().startswith("{"):
        return variable("--json", text, namespace)
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"--json takes a variable's name or a JSON schema in quotes: {error}, got {text!r}"
        ) from None
