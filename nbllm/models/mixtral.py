"""Mixtral: Llama with a mixture of experts for an MLP (Jiang et al. 2024)."""

from . import llama, moe
from .config import ModelConfig


class Layer(llama.Layer):
    def __init__(self, c: ModelConfig, layer: int):
        super().__init__(c, layer)
        count = c.raw["num_local_experts"]
        self.mlp = moe.MoE(c, count, c.intermediate_size, normalised=True)


class MixtralForCausalLM(llama.LlamaForCausalLM):
    Layer = Layer

    def __init__(self, c: ModelConfig):
        super().__init__(c)
        names = moe.fused(c.raw["num_local_experts"], "w1", "w3", "w2", "block_sparse_moe")
        # what is longer goes first: experts have parts of the same names
        self.FUSED = {**names, **self.FUSED}
