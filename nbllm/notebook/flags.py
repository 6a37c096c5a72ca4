"""The flags that magics share, and how they become parameters."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument

from ..sampling_params import BeamSearchParams, SamplingParams
from .templates import OPENING, Template

Params = TypeVar("Params", SamplingParams, BeamSearchParams)


def _token_ids(text: str) -> list[int]:
    """Of `1,2,3`, or of what a list looks like."""
    return [int(part) for part in text.strip("[] ").split(",")]


def _early_stopping(text: str) -> bool | str:
    """The parameter itself refuses other words, and says which it takes."""
    return {"true": True, "false": False}.get(text.lower(), text)


_KINDS: dict[str, Callable[[str], Any]] = dict.fromkeys(
    ("temperature", "top_p", "min_p", "length_penalty", "diversity_penalty"), float
)
_KINDS |= dict.fromkeys(
    ("n", "top_k", "max_tokens", "min_tokens", "seed", "logprobs", "max_model_len"), int
)
_KINDS |= dict.fromkeys(("beam_width", "num_return_sequences", "num_beam_groups"), int)
_KINDS |= {"stop_token_ids": _token_ids, "allowed_token_ids": _token_ids}
_KINDS |= {"early_stopping": _early_stopping}
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
SEARCH = (
    "beam_width",
    "max_tokens",
    "length_penalty",
    "num_return_sequences",
    "temperature",
    "stop",
    "stop_token_ids",
    "ignore_eos",
    "early_stopping",
    "num_beam_groups",
    "diversity_penalty",
    "allowed_token_ids",
    "include_stop_str_in_output",
    "skip_special_tokens",
)
"""Flags that are fields of `BeamSearchParams`, by the field's name."""


def number(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A type for argparse that lets `{{ name }}` pass, for `filled` to replace and convert."""

    def convert(text: str) -> Any:
        return text if OPENING in text else kind(text)

    # what argparse calls it: "invalid int value"
    convert.__name__ = _name(kind)
    return convert


def _name(kind: Callable[[str], Any]) -> str:
    return kind.__name__.strip("_").replace("_", " ")


def _number(*names: str, **options: Any) -> Any:
    """A flag that is converted as `_KINDS` says; the last of its names is the parameter's."""
    dest = names[-1].removeprefix("--").replace("-", "_")
    return argument(*names, dest=dest, type=number(_KINDS[dest]), **options)


_STOP = argument(
    "-s", "--stop", action="append", metavar="TEXT",
    help=r"end before this text; \n is a newline; may be repeated",
)  # fmt: skip
_IGNORE_EOS = argument(
    "--ignore-eos", action="store_true", default=None, help="go on after the text's end"
)


_SAMPLING_FLAGS = (
    _number("-n", "--n", metavar="N", help="completions per prompt"),
    _number("-t", "--temperature", metavar="T", help="0 takes the likeliest token; up to 2"),
    _number("-p", "--top-p", metavar="P", help="sample from the likeliest tokens that reach this"),
    _number("-k", "--top-k", metavar="K", help="sample from the K likeliest tokens"),
    _number("--min-p", metavar="P", help="drop tokens less likely than P times the likeliest"),
    _number("-m", "--max-tokens", metavar="N", help="tokens to generate at most"),
    _number("--min-tokens", metavar="N", help="tokens to generate at least"),
    _STOP,
    _number("--seed", metavar="S", help="the same seed gives the same text"),
    _IGNORE_EOS,
    _number("--logprobs", metavar="K", help="show probabilities, and the K likeliest tokens"),
)

_BEAM_FLAGS = (
    _number("-w", "--width", "--beam-width", metavar="W", help="beams that live on after a step"),
    _number("-m", "--max-tokens", metavar="N", help="steps at most: tokens of a sequence"),
    _number(
        "--length-penalty", metavar="P",
        help="a score is log-probability / tokens ** P: 0 prefers short sequences, 2 long ones",
    ),
    _number("-n", "--num-return-sequences", metavar="N", help="sequences to return; else W"),
    _number("-t", "--temperature", metavar="T", help="search by the probabilities of logits / T"),
    _STOP,
    _number("--stop-token-ids", metavar="IDS", help="end at these tokens: 1,2,3"),
    _IGNORE_EOS,
    _number(
        "--early-stopping", metavar="WHEN",
        help="true, false, never: Hugging Face's rules; without it every step is done, as in vLLM",
    ),
    _number("-g", "--groups", "--num-beam-groups", metavar="G", help="the beams search in G groups"),
    _number("--diversity-penalty", metavar="P", help="what an earlier group's token costs a group"),
    _number("--allowed-token-ids", metavar="IDS", help="search among these tokens only: 1,2,3"),
    argument(
        "--include-stop-str-in-output", action="store_true", default=None,
        help="cut after a stop text, not before it",
    ),
    argument(
        "--no-skip-special-tokens", dest="skip_special_tokens", action="store_false", default=None,
        help="special tokens are text, too",
    ),
    argument("--trace", metavar="NAME", help="variable for a DataFrame of every candidate"),
)  # fmt: skip

_RUN_FLAGS = (
    argument("--out", metavar="NAME", help="variable for the DataFrame; then nothing is shown"),
    argument("--over", metavar="FRAME", help="a DataFrame: the prompt is sent once per row"),
    argument("--raw", action="store_true", help="send {{ }} as it is"),
    argument("--quiet", action="store_true", help="show nothing while it runs"),
    argument("--model", metavar="NAME", help="a loaded model instead of the current one"),
)


def _with_flags(flags: tuple[Any, ...], magic: Callable) -> Callable:
    for flag in reversed(flags + _RUN_FLAGS):
        magic = flag(magic)
    return magic


run_flags = partial(_with_flags, _SAMPLING_FLAGS)
"""Adds the flags of every magic that samples."""
beam_flags = partial(_with_flags, _BEAM_FLAGS)
"""Adds the flags of every magic that searches."""


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
        raise UsageError(f"argument --{flag}: invalid {_name(kind)} value: {text!r}") from None


def layered(defaults: Params, *layers: Mapping[str, Any]) -> Params:
    """`defaults` overridden by each layer in turn; None in a layer means that it says nothing."""
    given = {name: value for layer in layers for name, value in layer.items() if value is not None}
    return replace(defaults, **given)


def given(args: Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """What the flags of these names say."""
    flags = {name: getattr(args, name) for name in names}
    if flags["stop"]:
        flags["stop"] = [stop_text(text) for text in flags["stop"]]
    return flags


def stop_text(text: str) -> str:
    r"""What `--stop` means: `\n` and `\t` are a newline and a tab, `\\` a backslash."""
    return text.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\0", "\\")
