"""How to pick tokens: fields of `SamplingParams` as flags, the short ones as in the magics."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import ParamError
from ...sampling_params import SamplingParams, StructuredOutputsParams

FLAGS: tuple[tuple[tuple[str, ...], Any, str, str], ...] = (
    (("-n", "--n"), int, "N", "completions per prompt"),
    (("-t", "--temperature"), float, "T", "0 takes the likeliest token; up to 2"),
    (("-p", "--top-p"), float, "P", "sample from the likeliest tokens that reach this"),
    (("-k", "--top-k"), int, "K", "sample from the K likeliest tokens"),
    (("--min-p",), float, "P", "drop tokens less likely than P times the likeliest"),
    (("-m", "--max-tokens"), int, "N", "tokens to generate at most"),
    (("--min-tokens",), int, "N", "tokens to generate at least"),
    (("--seed",), int, "S", "the same seed gives the same text"),
    (("--presence-penalty",), float, "P", "-2 to 2: what a token costs once it was used"),
    (("--frequency-penalty",), float, "P", "-2 to 2: what each earlier use costs"),
    (("-r", "--repetition-penalty"), float, "R", "above 1 avoids tokens used before"),
)


def add_sampling(parser: argparse.ArgumentParser, *, several: bool = True) -> None:
    """Add the flags; several: more than one completion may be asked for."""
    group = parser.add_argument_group("sampling", "What is left out is the model's own default.")
    for names, kind, metavar, about in FLAGS if several else FLAGS[1:]:
        group.add_argument(*names, dest=_field(names), type=kind, metavar=metavar, help=about)
    group.add_argument(
        "-s", "--stop", action="append", metavar="TEXT", help="end before this; may be repeated"
    )
    group.add_argument(
        "--ignore-eos", action="store_const", const=True, help="go on after the text's end"
    )
    shape = group.add_mutually_exclusive_group()
    shape.add_argument("--json", metavar="SCHEMA", help="JSON that fits: a file, or the schema")
    shape.add_argument("--regex", metavar="REGEX", help="the whole output matches")
    shape.add_argument(
        "-c", "--choice", action="append", metavar="TEXT", help="one of these; to be repeated"
    )
    shape.add_argument("--grammar", metavar="FILE", help="in Lark or EBNF")


def sampling_params(args: argparse.Namespace, defaults: SamplingParams) -> SamplingParams:
    """`defaults`, and over them what the flags say."""
    given = {field: getattr(args, field, None) for field in (_field(names) for names, *_ in FLAGS)}
    given |= {"stop": args.stop, "ignore_eos": args.ignore_eos, "structured_outputs": _shape(args)}
    return replace(defaults, **{name: v for name, v in given.items() if v is not None})


def _field(names: tuple[str, ...]) -> str:
    return names[-1].lstrip("-").replace("-", "_")


def _shape(args: argparse.Namespace) -> StructuredOutputsParams | None:
    if args.json is not None:
        return StructuredOutputsParams(json=_schema(args.json))
    if args.grammar is not None:
        return StructuredOutputsParams(grammar=_read("--grammar", args.grammar))
    given = {"regex": args.regex, "choice": args.choice}
    found = {name: value for name, value in given.items() if value is not None}
    return StructuredOutputsParams(**found) if found else None


def _schema(text: str) -> Any:
    source = text if text.lstrip().startswith("{") else _read("--json", text)
    try:
        return json.loads(source)
    except ValueError as error:
        raise ParamError(f"--json: that is no JSON: {error}") from None


def _read(flag: str, name: str) -> str:
    try:
        return Path(name).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ParamError(f"{flag}: cannot read {name!r}: {reason}") from None
