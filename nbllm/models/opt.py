"""OPT: learned positions, LayerNorm, ReLU, biases everywhere (Zhang et al. 2022).

The 350M model differs from the others: it normalises after each block, and projects its narrow
embeddings in and out. Shapes as in llama.py.
"""

from torch import Tensor, nn

from .activations import ACTS
from .batch import Batch
from .config import ModelConfig
from .layers import Embedding, LayerNorm, Linear, NoNorm, PagedAttention, whole

POSITION_OFFSET = 2
"""The first rows of the position table are not used."""


class SelfAttention(nn.Module):
    def __init__(self, c: ModelConfig, layer: int):
        super().__init__()
        size, bias = c.hidden_size, c.raw.get("enable_bias", True)
        self.num_heads = c.num_heads
        self.qkv_proj = Linear(size, 3 * size, bias)
        self.out_proj = Linear(size, size, bias)
        self.attend = PagedAttention(layer, c.head_dim)

    def forward(
        self,
        x: Tensor,
        batch: Batch,
        *,
        norm: LayerNorm | None = None,
        add: Tensor | None = None,
        parts: bool = False,
    ) -> Tensor:
        """Attention of x, or of norm(x); its output, or that and `add`: see `Linear.forward`."""
        qkv = self.qkv_proj(x, norm=norm)
        if batch.fused:
            y = self.attend.fused(qkv, batch, self.num_heads)
        else:
            q, k, v = qkv.unflatten(-1, (3, self.num_heads, -1)).unbind(1)  # [T, H, D]
            y = self.attend(q, k, v, batch)
        return self.out_proj(y, add=add, parts=parts)


class Layer(nn.Module):
    def __init__(self, c: ModelConfig, layer: int):
        super().__init__()
        bias = c.raw.get("enable_bias", True)
        self.norm_first = c.raw.get("do_layer_norm_before", True)
        self.self_attn = SelfAttention(c, layer)
        self.self_attn_layer_norm = LayerNorm(c.hidden_size)
        self.fc1 = Linear(c.hidden_size, c.intermediate_size, bias)
        self.fc2 = Linear(c.intermediate_size, c.hidden_size, bias)
        self.final_layer_norm = LayerNorm(c.hidden_size)
        self.act = ACTS[c.raw.get("activation_function", "relu")]

    def mlp(
        self,
        x: Tensor,
        *,
        norm: LayerNorm | None = None,
        add: Tensor | None = None,
        parts: bool = False,
    ) -> Tensor:
        """As `SelfAttention.forward`."""
        return self.fc2(self.fc1(x, norm=norm, act=self.act), add=add, parts=parts)

    def forward(self, x: Tensor, residual: Tensor | None, batch: Batch):
        """x [T, N], or parts of it, and what to add -> the same for the next layer, `batch.wanted` of it."""
        if not self.norm_first:
            x = self.self_attn_layer_norm(self.self_attn(x, batch, add=batch.pick(x)))
            return self.final_layer_norm(self.mlp(x, add=x)), None
        if batch.fused and self.fc1.few(x):
            x = whole(x, residual)
            x = self.self_attn(x, batch, norm=self.self_attn_layer_norm, add=batch.pick(x))
            return self.mlp(x, norm=self.final_layer_norm, add=x), None
        x, residual = self.self_attn_layer_norm.add(x, residual)
        x, residual = self.self_attn(x, batch, parts=True), batch.pick(residual)
        x, residual = self.final_layer_norm.add(x, residual)
        return self.mlp(x, parts=True), residual


class Decoder(nn.Module):
    def __init__(self, c: ModelConfig):
        super().__init__()
        narrow = c.raw.get("word_embed_proj_dim", c.hidden_size)
        wide, norm_first = c.hidden_size, c.raw.get("do_layer_norm_before", True)
        self.embed_tokens = Embedding(c.vocab_size, narrow)
        self.embed_positions = Embedding(c.max_length + POSITION_OFFSET, wide)
        self.project_in = Linear(narrow, wide) if narrow != wide else nn.Identity()
        self.project_out = Linear(wide, narrow) if narrow != wide else nn.Identity()
        self.layers = nn.ModuleList(Layer(c, i) for i in range(c.num_layers))
        last = norm_first and not c.raw.get("_remove_final_layer_norm", False)
        self.final_layer_norm = LayerNorm(wide) if last else NoNorm()

    def forward(self, batch: Batch) -> Tensor:  # [R, narrow]
        x = self.project_in(self.embed_tokens(batch.ids))
        x = x + self.embed_positions(batch.positions + POSITION_OFFSET)
        residual = None
        for layer, of_it in zip(self.layers, batch.of_layers(len(self.layers)), strict=True):
            x, residual = layer(x, residual, of_it)
        return self.project_out(self.final_layer_norm.add(x, residual)[0])


class OPTForCausalLM(nn.Module):
    REQUIRED = {
        "activation_function": ("relu", *ACTS),
        "layer_norm_elementwise_affine": (True,),
    }
    FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj")}

    def __init__(self, c: ModelConfig):
        super().__init__()
        decoder = Decoder(c)
        self.model = nn.ModuleDict({"decoder": decoder})
        self.lm_head = Linear(c.raw.get("word_embed_proj_dim", c.hidden_size), c.vocab_size)
        if c.tie_embeddings:
            self.lm_head.weight = decoder.embed_tokens.weight

    def forward(self, batch: Batch) -> Tensor:
        """Final hidden states [R, narrow] of the tokens that `batch.last` names."""
        return self.model["decoder"](batch)

    def compute_logits(self, hidden: Tensor) -> Tensor:
        """hidden [R, narrow] -> [R, V]."""
        return self.lm_head(hidden)
