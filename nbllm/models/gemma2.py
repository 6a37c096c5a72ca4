"""Gemma 2: norms before and after each block, capped scores and logits, windows in every other layer.

Gemma Team 2024. The norms' weights are stored as their distance from one, embeddings are scaled by
sqrt(N), the gate of the MLP is GELU. Shapes as in llama.py.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nbllm_kernels.soft_cap import soft_cap

from . import llama
from .batch import Batch
from .config import ModelConfig
from .layers import Embedding, Linear, PagedAttention, RMSNorm


def norm(size: int, c: ModelConfig) -> RMSNorm:
    """RMSNorm by 1 + weight."""
    return RMSNorm(size, c.norm_eps, offset=1.0)


class SelfAttention(llama.SelfAttention):
    def __init__(self, c: ModelConfig, layer: int):
        super().__init__(c, layer)
        self.attend = PagedAttention(
            layer,
            c.head_dim,
            window=c.windows[layer],
            scale=c.raw["query_pre_attn_scalar"] ** -0.5,
            softcap=c.raw.get("attn_logit_softcapping") or 0.0,
        )


class MLP(nn.Module):
    def __init__(self, c: ModelConfig):
        super().__init__()
        self.gate_up_proj = Linear(c.hidden_size, 2 * c.intermediate_size)
        self.down_proj = Linear(c.intermediate_size, c.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.gate_up_proj(x, act="gelu_tanh", gate=True))


class Layer(nn.Module):
    Attention: type[llama.SelfAttention] = SelfAttention

    def __init__(self, c: ModelConfig, layer: int):
        super().__init__()
        self.input_layernorm = norm(c.hidden_size, c)
        self.self_attn = self.Attention(c, layer)
        self.post_attention_layernorm = norm(c.hidden_size, c)
        self.pre_feedforward_layernorm = norm(c.hidden_size, c)
        self.mlp = MLP(c)
        self.post_feedforward_layernorm = norm(c.hidden_size, c)

    def forward(self, x: Tensor, residual: Tensor | None, cos_sin: Tensor, batch: Batch):
        x, residual = self.input_layernorm.add(x, residual)
        x = self.post_attention_layernorm(self.self_attn(x, cos_sin, batch))
        x, residual = self.pre_feedforward_layernorm.add(x, batch.pick(residual))
        return self.post_feedforward_layernorm(self.mlp(x)), residual


class ScaledEmbedding(Embedding):
    """Embeddings times sqrt(size), rounded as the embeddings are."""

    def forward(self, ids: Tensor) -> Tensor:
        scale = torch.tensor(self.weight.shape[1] ** 0.5, dtype=self.weight.dtype, device="cpu")
        return super().forward(ids) * scale.item()


class Decoder(llama.Decoder):
    def __init__(self, c: ModelConfig, layer: Callable[[ModelConfig, int], nn.Module]):
        super().__init__(c, layer)
        self.embed_tokens = ScaledEmbedding(c.vocab_size, c.hidden_size)
        self.norm = norm(c.hidden_size, c)


class Gemma2ForCausalLM(llama.LlamaForCausalLM):
    REQUIRED = {
        "hidden_activation": ("gelu_pytorch_tanh",),
        "use_bidirectional_attention": (None, False),
    }
    Layer = Layer
    Decoder = Decoder

    def __init__(self, c: ModelConfig):
        super().__init__(c)
        self.cap = c.raw.get("final_logit_softcapping")

    def compute_logits(self, hidden: Tensor) -> Tensor:
        """hidden [R, N] -> [R, V]."""
        logits = super().compute_logits(hidden)
        return soft_cap(logits, self.cap, out=logits) if self.cap else logits
