"""How flags become parameters, whatever magic they belong to.

flags.py ──┬── sampling_flags.py ── structured.py    %%generate, %%chat
           ├── search_flags.py                       %%beam
           ├── run_flags.py                          where results go, over what
           └── load_flags.py                         %nbllm load
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument

from ..sampling_params import BeamSearchParams, SamplingParams
from ..templating import unescaped
from .templates import OPENING, Template

Params = TypeVar("Params", SamplingParams, BeamSearchParams)


def _token_ids(text: str) -> list[int]:
    """Of `1,2,3`, or of what a list looks like."""
    return [int(part) for part in text.strip("[] ").split(",")]


def _biases(text: str) -> dict[int, float]:
    """Of `50=-100,11=2.5`."""
    pairs = [part.split("=") for part in text.split(",")]
    return {int(token): float(bias) for token, bias in pairs}


def _early_stopping(text: str) -> bool | str:
    """The parameter itself refuses other words, and says which it takes."""
    return {"true": True, "false": False}.get(text.lower(), text)


_FLOATS = (
    "temperature top_p min_p length_penalty diversity_penalty "
    "presence_penalty frequency_penalty repetition_penalty gpu_memory_utilization"
)
_INTS = (
    "n top_k max_tokens min_tokens seed logprobs prompt_logprobs truncate_prompt_tokens "
    "beam_width num_return_sequences num_beam_groups edit level "
    "max_model_len max_num_seqs max_num_batched_tokens kv_cache_memory_bytes max_logprobs"
)
KINDS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(_FLOATS.split(), float),
    **dict.fromkeys(_INTS.split(), int),
    **dict.fromkeys(("stop_token_ids", "allowed_token_ids"), _token_ids),
    "logit_bias": _biases,
    "early_stopping": _early_stopping,
}
"""How the text of a flag's value becomes the value, by the name of the parameter."""


def number(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A type for argparse that lets `{{ name }}` pass, for `filled` to replace and convert."""

    def convert(text: str) -> Any:
        return text if OPENING in text else kind(text)

    # what argparse calls it: "invalid int value"
    convert.__name__ = _name(kind)
    return convert


def _name(kind: Callable[[str], Any]) -> str:
    return kind.__name__.strip("_").replace("_", " ")


def flag(*names: str, **options: Any) -> Any:
    """A flag that is converted as `KINDS` says; the last of its names is the parameter's."""
    dest = names[-1].removeprefix("--").replace("-", "_")
    return argument(*names, dest=dest, type=number(KINDS[dest]), **options)


def switch(name: str, *, on: bool = True, **options: Any) -> Any:
    """A flag without a value; `--no-x` with on=False switches x off. Left out it says nothing."""
    dest = name.removeprefix("--").removeprefix("no-").replace("-", "_")
    action = "store_true" if on else "store_false"
    return argument(name, dest=dest, action=action, default=None, **options)


STOP = argument(
    "-s", "--stop", action="append", metavar="TEXT",
    help=r"end before this text; \n is a newline; may be repeated",
)  # fmt: skip
IGNORE_EOS = switch("--ignore-eos", help="go on after the text's end")
INCLUDE_STOP = switch("--include-stop-str-in-output", help="cut after a stop text, not before it")
SPECIAL = switch("--no-skip-special-tokens", on=False, help="special tokens are text, too")
STOP_IDS = flag("--stop-token-ids", metavar="IDS", help="end at these tokens: 1,2,3")
MAX_TOKENS = ("-m", "--max-tokens")


def with_flags(*lists: tuple[Any, ...]) -> Callable[[Callable], Callable]:
    """A decorator that adds the flags to a magic, in this order."""

    def decorate(magic: Callable) -> Callable:
        for one in reversed([one for flags in lists for one in flags]):
            magic = one(magic)
        return magic

    return decorate


LATER = ("words", "continuation", "choice")
"""Filled in for each row of `--over`."""


def filled(args: Namespace, namespace: Mapping[str, Any]) -> Namespace:
    """`args` with `{{ name }}` in flag values replaced; what has columns of a frame, later."""

    def fill(dest: str, value: Any) -> Any:
        if isinstance(value, list):
            return [fill(dest, item) for item in value]
        if not isinstance(value, str) or OPENING not in value:
            return value
        return _converted(dest, Template(value).render(namespace))

    return Namespace(**{d: v if d in LATER else fill(d, v) for d, v in vars(args).items()})


def _converted(dest: str, text: str) -> Any:
    kind = KINDS.get(dest, str)
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
        flags["stop"] = [unescaped(text) for text in flags["stop"]]
    return flags
