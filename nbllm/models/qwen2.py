"""Qwen2 and Qwen2.5: Llama with biases on queries, keys and values (Yang et al. 2024)."""

from . import llama
from .config import ModelConfig
from .layers import Linear


class SelfAttention(llama.SelfAttention):
    def __init__(self, c: ModelConfig, layer: int):
        super().__init__(c, layer)
        size_out, size_in = self.qkv_proj.weight.shape
        self.qkv_proj = Linear(size_in, size_out, bias=True)


class Layer(llama.Layer):
    Attention = SelfAttention


class Qwen2ForCausalLM(llama.LlamaForCausalLM):
    Layer = Layer
