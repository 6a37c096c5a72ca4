"""GPT-2: learned positions, LayerNorm, GELU, biases everywhere (Radford et al. 2019).

Its checkpoints store matrices as [in, out]; `TRANSPOSED` says which. Shapes as in llama.py.
"""

from torch import Tensor, nn

from .activations import ACTS
from .batch import Batch
from .config import ModelConfig
from .layers import Embedding, LayerNorm, Linear, PagedAttention


class SelfAttention(nn.Module):
    def __init__(self, c: ModelConfig, layer: int):
        super().__init__()
        scale = c.head_dim**-0.5 if c.raw.get("scale_attn_weights", True) else 1.0
        if c.raw.get("scale_attn_by_inverse_layer_idx", False):
            scale /= layer + 1
        self.num_heads = c.num_heads
        self.c_attn = Linear(c.hidden_size, 3 * c.hidden_size, bias=True)
        self.c_proj = Linear(c.hidden_size, c.hidden_size, bias=True)
        self.attend = PagedAttention(layer, c.head_dim, scale=scale)

    def forward(self, x: Tensor, batch: Batch, *, norm: LayerNorm, add: Tensor) -> Tensor:
        """Attention of norm(x), and `add`: see `Linear.forward`."""
        qkv = self.c_attn(x, norm=norm)
        if batch.fused:
            return self.c_proj(self.attend.fused(qkv, batch, self.num_heads), add=add)
        q, k, v = qkv.unflatten(-1, (3, self.num_heads, -1)).unbind(1)  # [T, H, D]
        return self.c_proj(self.attend(q, k, v, batch), add=add)


class MLP(nn.Module):
    def __init__(self, c: ModelConfig):
        super().__init__()
        self.c_fc = Linear(c.hidden_size, c.intermediate_size, bias=True)
        self.c_proj = Linear(c.intermediate_size, c.hidden_size, bias=True)
        self.act = ACTS[c.raw.get("activation_function", "gelu_new")]

    def forward(self, x: Tensor, *, norm: LayerNorm, add: Tensor) -> Tensor:
        """Of norm(x), and `add`."""
        return self.c_proj(self.c_fc(x, norm=norm, act=self.act), add=add)


class Layer(nn.Module):
    def __init__(self, c: ModelConfig, layer: int):
        super().__init__()
        eps = c.raw.get("layer_norm_epsilon", 1e-5)
        self.ln_1 = LayerNorm(c.hidden_size, eps)
        self.attn = SelfAttention(c, layer)
        self.ln_2 = LayerNorm(c.hidden_size, eps)
        self.mlp = MLP(c)

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        x = self.attn(x, batch, norm=self.ln_1, add=batch.pick(x))
        return self.mlp(x, norm=self.ln_2, add=x)


class Decoder(nn.Module):
    def __init__(self, c: ModelConfig):
        super().__init__()
        self.wte = Embedding(c.vocab_size, c.hidden_size)
        self.wpe = Embedding(c.max_length, c.hidden_size)
        self.h = nn.ModuleList(Layer(c, i) for i in range(c.num_layers))
        self.ln_f = LayerNorm(c.hidden_size, c.raw.get("layer_norm_epsilon", 1e-5))

    def forward(self, batch: Batch) -> Tensor:  # [R, hidden]
        x = self.wte(batch.ids) + self.wpe(batch.positions)
        for layer, of_it in zip(self.h, batch.of_layers(len(self.h)), strict=True):
            x = layer(x, of_it)
        return self.ln_f(x)


class GPT2LMHeadModel(nn.Module):
    REQUIRED = {
        "add_cross_attention": (False,),
        "activation_function": ("gelu_new", *ACTS),
    }
    TRANSPOSED = ("c_attn", "c_proj", "c_fc")

    def __init__(self, c: ModelConfig):
        super().__init__()
        self.transformer = Decoder(c)
        self.lm_head = Linear(c.hidden_size, c.vocab_size)
        if c.tie_embeddings:
            self.lm_head.weight = self.transformer.wte.weight

    def forward(self, batch: Batch) -> Tensor:
        """Final hidden states [R, N] of the tokens that `batch.last` names."""
        return self.transformer(batch)

    def compute_logits(self, hidden: Tensor) -> Tensor:
        """hidden [R, N] -> [R, V]."""
        return self.lm_head(hidden)
