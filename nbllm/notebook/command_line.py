"""What a user typed after a magic's name, taken apart."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser, Namespace
from collections import ChainMap
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from IPython.core.error import UsageError

from ..errors import did_you_mean
from .flags import filled
from .grid import gathered

HELP_FLAGS = ("-h", "--help")
_BINDING = re.compile(r"\s*(\w+)\s*<<")
_TEMPLATE = re.compile(r"\{\{.*?\}\}")


@dataclass(kw_only=True, frozen=True)
class Call:
    """One call of a magic. prompt: before templating. out: the variable for the frame, if any."""

    args: Namespace
    prompt: str
    out: str | None
    namespace: ChainMap[str, Any]


def read(
    parser: ArgumentParser, line: str, cell: str | None, namespace: ChainMap[str, Any]
) -> Call:
    """Read `%magic line` (cell is None) or a cell magic. Raises `UsageError`, always one line."""
    binding = _BINDING.match(line)
    args = parse(parser, words(line[binding.end() :] if binding else line))
    if not args.raw:
        args = filled(args, namespace)
    names = [name for name in (binding and binding[1], args.out) if name]
    if cell is not None:
        names += _name_before_cell(args.words)
    # the one newline that IPython appends is not part of the prompt
    prompt = " ".join(args.words) if cell is None else cell.removesuffix("\n")
    return Call(
        args=args,
        prompt=prompt,
        out=one_name(names),
        namespace=namespace,
    )


def words(line: str) -> list[str]:
    """Split like a shell; a `{{ … }}` stays in one piece, whatever it holds."""
    expressions = _TEMPLATE.findall(line)
    # \0 cannot occur in a line
    masked = _TEMPLATE.sub("\0", line)
    try:
        parts = shlex.split(masked)
    except ValueError as error:
        raise UsageError(
            f"{error}: put text with a ' or a \" in quotes of the other kind"
        ) from None
    rest = iter(expressions)
    return [re.sub("\0", lambda _: next(rest), part) for part in parts]


def parse(parser: ArgumentParser, argv: list[str]) -> Namespace:
    """Parse, with flags and words in any order. An unknown flag names the nearest known one."""
    # a saved notebook must not change its meaning when a flag is added
    parser.allow_abbrev = False
    # it would be written anew for every call, and is never shown: mistakes are one line
    parser.usage = parser.usage or parser.prog
    # argparse itself takes what follows -- for flags, where flags come before it
    takes_words = any(action.dest == "words" for action in parser._actions)
    argv, rest = _split(argv) if takes_words else (argv, [])
    args, unknown = parser.parse_known_intermixed_args(gathered(argv))
    if rest:
        args.words = [*args.words, *rest]
    if unknown:
        raise _unknown(parser, unknown)
    return args


def _unknown(parser: ArgumentParser, words: list[str]) -> UsageError:
    flag = next((word for word in words if word.startswith("-")), None)
    if flag is None:
        return UsageError(f"{parser.prog}: there is one word too many, {words[0]!r}")
    flag = flag.partition("=")[0]
    if flag in HELP_FLAGS:
        return UsageError(f"%{parser.prog}? explains every flag")
    known = [name for action in parser._actions for name in action.option_strings]
    way_out = did_you_mean(flag, known) or "; words that begin with - go after --"
    return UsageError(f"unknown option {flag}{way_out}")


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """What comes before the first `--`, and the words behind it."""
    end = argv.index("--") if "--" in argv else len(argv)
    return argv[:end], argv[end + 1 :]


def _name_before_cell(names: list[str]) -> list[str]:
    if len(names) > 1:
        said = " ".join(names)
        raise UsageError(
            f"one name at most before a cell's prompt, got {said!r}: the prompt goes below"
        )
    return names


def one_name(names: list[str]) -> str | None:
    """The variable to bind, if any; it has to be one, and only one."""
    if len(names) > 1:
        raise UsageError(f"one variable for the result, got {' and '.join(names)}")
    for name in names:
        if not name.isidentifier() or iskeyword(name):
            raise UsageError(f"{name!r} is not a variable name")
    return names[0] if names else None
