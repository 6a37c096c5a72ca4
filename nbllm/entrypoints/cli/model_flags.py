"""Which model, and how it is loaded: `LLM`'s options as flags, under vLLM's names."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...llm import LLM

OPTIONS: dict[str, tuple[Any, str, str]] = {
    "tokenizer": (str, "NAME", "a name or a folder; default: the model's"),
    "revision": (str, "REV", "a branch, tag or commit on the hub"),
    "dtype": (str, "DTYPE", "float32, bfloat16, float16; default: auto"),
    "device": (str, "DEVICE", "cpu, cuda, cuda:1; default: auto"),
    "max_model_len": (int, "N", "tokens a sequence may have, prompt included"),
    "max_num_seqs": (int, "N", "sequences that one step computes at most"),
    "max_num_batched_tokens": (int, "N", "tokens that one step computes at most"),
    "gpu_memory_utilization": (float, "SHARE", "share of the GPU that may be in use; default: 0.9"),
    "kv_cache_memory_bytes": (int, "BYTES", "bound of the KV cache, instead of that share"),
    "seed": (int, "S", "makes seeds that are drawn repeatable"),
    "load_format": (str, "FORMAT", "auto, or dummy for random weights"),
    "quantization": (str, "KIND", "what the checkpoint has to be: gptq, awq, fp8 …"),
    "generation_config": (str, "WHICH", "auto, a folder, or nbllm for its own defaults"),
    "chat_template": (str, "FILE", "a file, a template, or the name of one of the tokenizer's"),
    "max_logprobs": (int, "N", "largest logprobs that may be asked for; −1: no limit"),
    "model_impl": (str, "WHICH", "auto, native or transformers"),
}
SWITCHES = {
    "deterministic": (True, "--deterministic", "the same tokens whatever shares the batch"),
    "enable_prefix_caching": (
        False, "--no-enable-prefix-caching", "forget the pages of finished requests"
    ),
}  # fmt: skip


def add_model(
    parser: argparse.ArgumentParser, *, positional: bool = True, seed: bool = True
) -> None:
    """Add the model and its options; without its seed where sampling has one of that name."""
    about = 'a folder, a name on the Hugging Face hub, or "tiny", the bundled model (default)'
    if positional:
        parser.add_argument("model", nargs="?", default="tiny", metavar="MODEL", help=about)
    group = parser.add_argument_group("the model")
    if not positional:
        group.add_argument("--model", default="tiny", metavar="MODEL", help=about)
    for name, (kind, metavar, text) in OPTIONS.items():
        if name == "seed" and not seed:
            continue
        group.add_argument(_flag(name), type=kind, metavar=metavar, help=text)
    for name, (value, flag, text) in SWITCHES.items():
        group.add_argument(flag, dest=name, action="store_const", const=value, help=text)


def load(args: argparse.Namespace, *, seed: bool = True) -> LLM:
    """The model that the flags name. Raises what `LLM` raises."""
    from ...llm import LLM

    names = [name for name in (*OPTIONS, *SWITCHES) if name != "seed" or seed]
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    return LLM(args.model, **given)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
