"""The flags of `%nbllm load`: the options of `LLM` that a line can say."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from .flags import KINDS, number

_TEXTS = {
    "tokenizer": "a name or a folder; else the model's own",
    "revision": "version of a model on the hub: a branch, a tag, a commit",
    "dtype": "float32, bfloat16, float16; else what suits the model and the device",
    "device": "cpu, cuda, cuda:1; else the GPU if there is one",
    "quantization": "how the files are stored, which they say themselves; another value is an error",
    "load-format": "safetensors; dummy: random weights",
    "model-impl": "native, transformers; else native where there is such code",
    "chat-template": "a file, or the name of one that the model brings",
    "generation-config": "a folder with the default sampling parameters; vllm: SamplingParams' own",
    "logprobs-mode": "raw_logprobs, processed_logprobs",
}
_NUMBERS = {
    "max-model-len": "tokens of context",
    "max-num-seqs": "sequences that a step computes at most",
    "max-num-batched-tokens": "tokens that a step computes at most",
    "gpu-memory-utilization": "part of the card that may be in use, by whomever; else 0.9",
    "kv-cache-memory-bytes": "bound of the KV cache, instead",
    "max-logprobs": "largest --logprobs; -1: no limit",
    "seed": "of the seeds that requests without one draw, and of dummy weights",
}
_SWITCHES = {
    "deterministic": ("store_true", "the same tokens whatever shares the batch, in half precision too"),
    "no-prefix-caching": ("store_false", "do not keep the pages of finished requests"),
}  # fmt: skip
_OPTIONS = {"no-prefix-caching": "enable_prefix_caching"}
"""Flags that are not called like their option."""


def add(parser: ArgumentParser) -> None:
    """Add the flags, all of them optional."""
    parser.add_argument(
        "model", nargs="?", default="tiny",
        help="a name on the Hugging Face hub, a folder, or tiny, the bundled model",
    )  # fmt: skip
    parser.add_argument("--name", help="keep the other models, and call this one NAME")
    for name, text in _TEXTS.items():
        parser.add_argument(f"--{name}", metavar=name[0].upper(), help=text)
    for name, text in _NUMBERS.items():
        kind = number(KINDS[_option(name)])
        parser.add_argument(f"--{name}", type=kind, metavar="N", help=text)
    for name, (action, text) in _SWITCHES.items():
        parser.add_argument(f"--{name}", dest=_option(name), action=action, default=None, help=text)


def options(args: Namespace) -> dict[str, Any]:
    """What of it was given, as `LLM` takes it."""
    names = map(_option, [*_TEXTS, *_NUMBERS, *_SWITCHES])
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _option(flag: str) -> str:
    return _OPTIONS.get(flag, flag.replace("-", "_"))
