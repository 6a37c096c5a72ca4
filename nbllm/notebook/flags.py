"""The flags that magics share, and how they become `SamplingParams`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument

from ..sampling_params import SamplingParams
from .templates import OPENING, Template

_KINDS: dict[str, type] = {"temperature": float, "top_p": float, "min_p": float}
_KINDS |= dict.fromkeys(
    ("n", "top_k", "max_tokens", "min_tokens", "seed", "logprobs", "max_model_len"), int
)
SAMPLING = (
    "n",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "max_tokens",
    "min_tokens",
    "stop",
    "seed",
    "ignore_eos",
    "logprobs",
)
"""Flags that are fields of `SamplingParams`, by the field's name."""


def number(kind: type) -> Callable[[str], Any]:
    """A type for argparse that lets `{{ name }}` pass, for `filled` to replace and convert."""

    def convert(text: str) -> Any:
        return text if OPENING in text else kind(text)

    # what argparse calls it: "invalid int value"
    convert.__name__ = kind.__name__
    return convert


def _number(*names: str, **options: Any):
    kind = _KINDS[names[-1].removeprefix("--").replace("-", "_")]
    return argument(*names, type=number(kind), **options)


_SAMPLING_FLAGS = (
    _number("-n", "--n", metavar="N", help="completions per prompt"),
    _number("-t", "--temperature", metavar="T", help="0 takes the likeliest token; up to 2"),
    _number("-p", "--top-p", metavar="P", help="sample from the likeliest tokens that reach this"),
    _number("-k", "--top-k", metavar="K", help="sample from the K likeliest tokens"),
    _number("--min-p", metavar="P", help="drop tokens less likely than P times the likeliest"),
    _number("-m", "--max-tokens", metavar="N", help="tokens to generate at most"),
    _number("--min-tokens", metavar="N", help="tokens to generate at least"),
    argument(
        "-s", "--stop", action="append", metavar="TEXT",
        help=r"end before this text; \n is a newline; may be repeated",
    ),
    _number("--seed", metavar="S", help="the same seed gives the same text"),
    argument("--ignore-eos", action="store_true", default=None, help="go on after the text's end"),
    _number("--logprobs", metavar="K", help="show probabilities, and the K likeliest tokens"),
)  # fmt: skip

_RUN_FLAGS = (
    argument("--out", metavar="NAME", help="variable for the DataFrame; then nothing is shown"),
    argument("--over", metavar="FRAME", help="a DataFrame: the prompt is sent once per row"),
    argument("--raw", action="store_true", help="send {{ }} as it is"),
    argument("--quiet", action="store_true", help="show nothing while it runs"),
    argument("--model", metavar="NAME", help="a loaded model instead of the current one"),
)


def run_flags(magic: Callable) -> Callable:
    """Add the flags of every magic that generates."""
    for flag in reversed(_SAMPLING_FLAGS + _RUN_FLAGS):
        magic = flag(magic)
    return magic


def filled(args: Namespace, namespace: Mapping[str, Any]) -> Namespace:
    """`args` with `{{ name }}` in flag values replaced; the prompt's words are left for later."""

    def fill(dest: str, value: Any) -> Any:
        if isinstance(value, list):
            return [fill(dest, item) for item in value]
        if not isinstance(value, str) or OPENING not in value:
            return value
        return _converted(dest, Template(value).render(namespace))

    return Namespace(**{d: v if d == "words" else fill(d, v) for d, v in vars(args).items()})


def _converted(dest: str, text: str) -> Any:
    kind = _KINDS.get(dest, str)
    try:
        return kind(text)
    except ValueError:
        flag = dest.replace("_", "-")
        raise UsageError(f"argument --{flag}: invalid {kind.__name__} value: {text!r}") from None


def sampling_params(defaults: SamplingParams, *layers: Mapping[str, Any]) -> SamplingParams:
    """`defaults` overridden by each layer in turn; None in a layer means that it says nothing."""
    given = {name: value for layer in layers for name, value in layer.items() if value is not None}
    return replace(defaults, **given)


def stop_text(text: str) -> str:
    r"""What `--stop` means: `\n` and `\t` are a newline and a tab, `\\` a backslash."""
    return text.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\0", "\\")
