"""Rotary frequencies as checkpoints ask for them: how fast each pair of dims of a head turns.

w_i = theta ** (-2i / R) for the R dims that are rotated, then scaled for contexts longer than those
of the training. A config says how in `rope_parameters` (transformers 5) or in `rope_scaling` and
fields of its own (earlier).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nbllm.errors import ModelError, UnsupportedModelError
from nbllm_kernels.rope import angle_table, rotation

if TYPE_CHECKING:
    from .batch import Batch
    from .config import ModelConfig

FULL, SLIDING = "full_attention", "sliding_attention"


def table(c: ModelConfig, layers: str = FULL) -> Tensor:
    """cos beside sin of the angles of every position: [max_length, R], float32.

    layers: of which layers, where those with a window have a rope of their own.
    """
    rope = parameters(c.raw, layers)
    rotated = int(c.head_dim * rope.get("partial_rotary_factor", 1.0))
    exponent = torch.arange(0, rotated, 2, dtype=torch.float32) / rotated
    try:
        frequency, scale = KINDS[rope["rope_type"]](rope["rope_theta"] ** -exponent, rope)
    except KeyError as error:
        raise ModelError(f"config.json's rope parameters lack {error.args[0]!r}") from None
    return angle_table(frequency, c.max_length) * scale


def by_position(table: Tensor, batch: Batch) -> Tensor:
    """What the batch's tokens are rotated by, or the table where kernels look it up."""
    return table if batch.fused else rotation(table.index_select(0, batch.positions))


def parameters(config: dict[str, Any], layers: str = FULL) -> dict[str, Any]:
    """The rope parameters of these layers, as transformers 5 writes them."""
    found = config.get("rope_parameters") or {}
    if any(isinstance(v, dict) for v in found.values()):
        found = found.get(layers) or {}
    elif layers == SLIDING:  # Gemma 3 before transformers 5: only the others are scaled
        found = {"rope_theta": config.get("rope_local_base_freq", 1e4)}
    rope = {**found, **((config.get("rope_scaling") or {}) if layers == FULL else {})}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    # what Phi-3's first checkpoints say
    rope["rope_type"] = (
        "longrope" if kind == "su" or (kind == "yarn" and "short_factor" in rope) else kind
    )
    rope.setdefault("rope_theta", config.get("rope_theta") or 1e4)
    if "partial_rotary_factor" in config:
        rope.setdefault("partial_rotary_factor", config["partial_rotary_factor"])
    context = config.get("max_position_embeddings")
    rope.setdefault("original_max_position_embeddings", context)
    if "original_max_position_embeddings" in config:
        rope["original_max_position_embeddings"] = config["original_max_position_embeddings"]
    return {"max_position_embeddings": context, **rope}


def check_rope(config: dict[str, Any]) -> None:
    """Raise `UnsupportedModelError` for a scaling that nbllm does not know."""
    for layers in FULL, SLIDING:
        kind = parameters(config, layers)["rope_type"]
        if kind not in KINDS:
            raise UnsupportedModelError(
                f"nbllm scales rotary positions by {', '.join(KINDS)}, config.json says {kind!r}"
            )


def max_length(config: dict[str, Any]) -> int:
    """The model's context in tokens.

    longrope has two sets of frequencies, and goes from one to the other when a text gets longer than
    the original context, which would turn the keys that are cached. So that is where it ends here.
    """
    rope, length = parameters(config), config["max_position_embeddings"]
    if rope["rope_type"] != "longrope":
        return length
    return min(length, rope["original_max_position_embeddings"])


def _default(w: Tensor, rope: dict[str, Any]) -> tuple[Tensor, float]:
    return w, 1.0


def _linear(w: Tensor, rope: dict[str, Any]) -> tuple[Tensor, float]:
    """Position interpolation (Chen et al. 2023)."""
    return w / rope["factor"], 1.0


def _llama3(w: Tensor, rope: dict[str, Any]) -> tuple[Tensor, float]:
    """Llama 3.1: slow pairs are slowed down, fast ones kept, those between interpolated."""
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] * w / (2 * math.pi)
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return w * (kept + (1 - kept) / rope["factor"]), 1.0


def _yarn(w: Tensor, rope: dict[str, Any]) -> tuple[Tensor, float]:
    """NTK-by-parts and a temperature (Peng et al. 2023)."""
    theta, count, original = rope["rope_theta"], len(w), rope["original_max_position_embeddings"]
    factor = rope.get("factor") or rope["max_position_embeddings"] / original

    def pair_with(turns: float) -> float:
        """Which pair turns so often within the original context."""
        return count * math.log(original / (turns * 2 * math.pi)) / math.log(theta)

    first = pair_with(rope.get("beta_fast") or 32)
    last = pair_with(rope.get("beta_slow") or 1)
    if rope.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, 2 * count - 1)
    slowed = ((torch.arange(count) - first) / max(last - first, 1e-3)).clamp(0, 1)
    return w * (1 - slowed) + w / factor * slowed, _temperature(factor, rope)


def _temperature(factor: float, rope: dict[str, Any]) -> float:
    def of(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    if (given := rope.get("attention_factor")) is not None:
        return given
    over, under = rope.get("mscale"), rope.get("mscale_all_dim")
    return of(over) / of(under) if over and under else of(1.0)


def _longrope(w: Tensor, rope: dict[str, Any]) -> tuple[Tensor, float]:
    """LongRoPE (Ding et al. 2024) within the original context, see `max_length`."""
    original = rope["original_max_position_embeddings"]
    factor = rope.get("factor") or rope["max_position_embeddings"] / original
    scale = rope.get("attention_factor")
    if scale is None:
        scale = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    return w / torch.tensor(rope["short_factor"], dtype=torch.float32), scale


KINDS: dict[str, Callable[[Tensor, dict[str, Any]], tuple[Tensor, float]]] = {
    "default": _default,
    "linear": _linear,
    # changes nothing up to max_position_embeddings, which is as far as the model goes here
    "dynamic": _default,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}
"""Frequencies before the scaling, and parameters → frequencies, and what cos and sin are scaled by."""
