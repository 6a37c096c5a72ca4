"""Gemma 3 (text): Gemma 2 with norms over the heads of q and k in place of capped scores.

Gemma Team 2025. Layers with a window have rotary frequencies of their own. Shapes as in llama.py.
"""

from collections.abc import Callable

from torch import Tensor, nn

from . import gemma2, qwen3
from .batch import Batch
from .config import ModelConfig
from .layers import PagedAttention
from .rotary import SLIDING, by_position, table


class SelfAttention(qwen3.SelfAttention):
    def __init__(self, c: ModelConfig, layer: int):
        super().__init__(c, layer)
        self.q_norm, self.k_norm = gemma2.norm(c.head_dim, c), gemma2.norm(c.head_dim, c)
        scale = c.raw["query_pre_attn_scalar"] ** -0.5
        self.attend = PagedAttention(layer, c.head_dim, window=c.windows[layer], scale=scale)


class Layer(gemma2.Layer):
    Attention = SelfAttention


class Decoder(gemma2.Decoder):
    sliding_cos_sin: Tensor  # as cos_sin, for layers with a window

    def __init__(self, c: ModelConfig, layer: Callable[[ModelConfig, int], nn.Module]):
        super().__init__(c, layer)
        self.windows = c.windows
        self.register_buffer("sliding_cos_sin", table(c, SLIDING), persistent=False)

    def rotations(self, batch: Batch) -> list[Tensor]:
        full, sliding = (by_position(t, batch) for t in (self.cos_sin, self.sliding_cos_sin))
        return [sliding if window else full for window in self.windows]


class Gemma3ForCausalLM(gemma2.Gemma2ForCausalLM):
    Layer = Layer
    Decoder = Decoder
