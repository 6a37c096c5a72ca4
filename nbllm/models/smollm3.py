"""SmolLM3: Llama without rotation in some layers (Bakouch et al. 2025, after Yang et al. 2025)."""

from typing import Any

from torch import Tensor

from . import llama
from .batch import Batch
from .config import ModelConfig
from .families import rotates


class SelfAttention(llama.SelfAttention):
    def __init__(self, c: ModelConfig, layer: int):
        super().__init__(c, layer)
        self.rotates = rotates(c.raw, layer)

    def forward(self, x: Tensor, cos_sin: Tensor | None, batch: Batch, **around: Any) -> Tensor:
        return super().forward(x, cos_sin if self.rotates else None, batch, **around)


class Layer(llama.Layer):
    Attention = SelfAttention


class SmolLM3ForCausalLM(llama.LlamaForCausalLM):
    Layer = Layer
