"""What generation_config.json says: default sampling parameters, and which tokens end a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbllm.errors import ModelError
from nbllm.sampling_params import SamplingParams

from .config import ModelConfig, as_ids
from .load import read_json

FIELDS = {
    "repetition_penalty": "repetition_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "max_new_tokens": "max_tokens",
}
"""What the file may set, and the name it has in SamplingParams."""


def default_params(
    own: dict[str, Any], source: str | Path, override: dict[str, Any] | None
) -> SamplingParams:
    """The default sampling parameters: the model's `own`, with `override` laid over them."""
    if source in ("vllm", "nbllm"):
        found: dict[str, Any] = {}
    elif source == "auto":
        found = own
    else:
        found = read_json(Path(source) / "generation_config.json")
        if not found:
            raise ModelError(f"generation_config={str(source)!r} holds no generation_config.json")
    found = {**found, **(override or {})}
    given = {
        ours: found[theirs] for theirs, ours in FIELDS.items() if found.get(theirs) is not None
    }
    return SamplingParams(**given)


def eos_ids(generation: dict[str, Any], config: ModelConfig, own: int | None) -> list[int]:
    """The ids that end a text: generation_config's, else config.json's, and the tokenizer's `own`."""
    ids = as_ids(generation.get("eos_token_id")) or config.eos_token_ids
    return [i for i in {*ids, *([own] if own is not None else [])} if i < config.vocab_size]
