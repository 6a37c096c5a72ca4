"""Qwen3-MoE: Qwen3 with a mixture of experts for the MLP of most layers (Yang et al. 2025)."""

from . import moe, qwen3
from .config import ModelConfig


def is_sparse(c: ModelConfig, layer: int) -> bool:
    """Whether a layer has experts."""
    if layer in (c.raw.get("mlp_only_layers") or []):
        return False
    return (layer + 1) % c.raw.get("decoder_sparse_step", 1) == 0


class Layer(qwen3.Layer):
    def __init__(self, c: ModelConfig, layer: int):
        super().__init__(c, layer)
        if is_sparse(c, layer):
            count, size = num_experts(c), c.raw["moe_intermediate_size"]
            self.mlp = moe.MoE(c, count, size, c.raw.get("norm_topk_prob", False))


class Qwen3MoeForCausalLM(qwen3.Qwen3ForCausalLM):
    Layer = Layer

    def __init__(self, c: ModelConfig):
        super().__init__(c)
        names = moe.fused(num_experts(c), "gate_proj", "up_proj", "down_proj")
        # what is longer goes first: experts have parts of the same names
        self.FUSED = {**names, **self.FUSED}


def num_experts(c: ModelConfig) -> int:
    """Experts of a layer that has some."""
    return c.raw.get("num_experts") or c.raw["num_local_experts"]
