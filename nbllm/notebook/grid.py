"""`--grid temperature=0,0.7 seed=1..4`: every combination of settings."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

from IPython.core.error import UsageError

from ..errors import did_you_mean
from ..results.work import Setting
from ..templating import unescaped
from .flags import KINDS
from .sampling_flags import SAMPLING

_SETTING = re.compile(r"-{0,2}([A-Za-z][\w-]*)=(.+)", re.DOTALL)
_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")
_SEVERAL = ("stop_token_ids", "allowed_token_ids", "logit_bias", "bad_words")
"""Their one value has commas of its own."""


def gathered(argv: list[str]) -> list[str]:
    """`argv` with the settings behind `--grid` in one piece, so that words of a prompt stay apart."""
    if "--grid" not in argv:
        return argv
    begin = argv.index("--grid") + 1
    end = begin
    while end < len(argv) and _SETTING.fullmatch(argv[end]):
        end += 1
    # \0 cannot occur in a line
    return [*argv[:begin], "\0".join(argv[begin:end]), *argv[end:]] if end > begin else argv


def settings(text: str | None) -> list[Setting]:
    """The combinations, the last name varying fastest; one empty setting for no grid."""
    if text is None:
        return [{}]
    values = dict(map(_values, text.split("\0")))
    return [dict(zip(values, each, strict=True)) for each in product(*values.values())]


def _values(text: str) -> tuple[str, list[Any]]:
    if (found := _SETTING.fullmatch(text)) is None:
        raise UsageError(f"--grid takes NAME=VALUE,VALUE …, got {text!r}")
    name = found[1].replace("-", "_")
    known = [each for each in SAMPLING if each not in _SEVERAL]
    if name not in known:
        raise UsageError(f"--grid: there is no setting {name!r}{did_you_mean(name, known)}")
    if (span := _RANGE.fullmatch(found[2])) is not None:
        first, last = int(span[1]), int(span[2])
        return name, list(range(first, last + 1) if first <= last else range(first, last - 1, -1))
    return name, [_value(name, part) for part in found[2].split(",")]


def _value(name: str, text: str) -> Any:
    if name == "stop":
        return unescaped(text)
    if name in KINDS:
        try:
            return None if text == "None" else KINDS[name](text)
        except ValueError:
            kind = KINDS[name].__name__
            raise UsageError(f"--grid {name}: invalid {kind} value: {text!r}") from None
    if text.lower() not in ("true", "false"):
        raise UsageError(f"--grid {name}: true or false, got {text!r}")
    return text.lower() == "true"
