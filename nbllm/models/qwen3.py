"""Qwen3 (dense): Llama with a norm over each head of q and k (Yang et al. 2025)."""

from typing import Any

from torch import Tensor

from nbllm_kernels.rope import rope

from . import llama
from .batch import Batch
from .config import ModelConfig
from .layers import RMSNorm


class SelfAttention(llama.SelfAttention):
    def __init__(self, c: ModelConfig, layer: int):
        super().__init__(c, layer)
        self.q_norm, self.k_norm = RMSNorm(c.head_dim, c.norm_eps), RMSNorm(c.head_dim, c.norm_eps)

    @property
    def norms(self) -> tuple[RMSNorm, RMSNorm]:
        return self.q_norm, self.k_norm

    def forward(self, x: Tensor, cos_sin: Tensor | None, batch: Batch, **around: Any) -> Tensor:
        if batch.fused:
            return super().forward(x, cos_sin, batch, **around)
        qk, v = self.qk_v(x)
        q, k = qk.tensor_split((self.num_heads,), 1)
        q, k = rope(self.q_norm(q), cos_sin), rope(self.k_norm(k), cos_sin)
        return self.o_proj(self.attend(q, k, v, batch))


class Layer(llama.Layer):
    Attention = SelfAttention


class Qwen3ForCausalLM(llama.LlamaForCausalLM):
    Layer = Layer
