"""Llama: grouped-query attention with rotary positions, SwiGLU, pre-norm (Touvron et al. 2023).

Parameter names are the checkpoint's, except that q/k/v and gate/up are stored fused; `FUSED` tells
the loader how. Shapes: T tokens, H query heads, K key-value heads, D head dim, R rows with logits.
"""

from collections.abc import Callable

from torch import Tensor, nn

from nbllm_kernels.rope import rope

from .batch import Batch
from .config import ModelConfig
from .layers import Block, Embedding, Linear, PagedAttention, RMSNorm, whole
from .rotary import by_position, table


class SelfAttention(Block):
    def __init__(self, c: ModelConfig, layer: int):
        super().__init__()
        bias = c.raw.get("attention_bias", False)
        self.num_heads, self.num_kv_heads, self.head_dim = c.num_heads, c.num_kv_heads, c.head_dim
        self.qkv_proj = Linear(c.hidden_size, (c.num_heads + 2 * c.num_kv_heads) * c.head_dim, bias)
        self.o_proj = Linear(c.num_heads * c.head_dim, c.hidden_size, bias)
        self.attend = PagedAttention(layer, c.head_dim, window=c.windows[layer])

    @property
    def norms(self) -> tuple[RMSNorm, RMSNorm] | None:
        """Those of the heads of q and k, where there are any."""
        return None

    def forward(
        self,
        x: Tensor,
        cos_sin: Tensor | None,
        batch: Batch,
        *,
        norm: RMSNorm | None = None,
        add: Tensor | None = None,
        parts: bool = False,
    ) -> Tensor:
        """Attention of x, or of norm(x); its output, or that and `add`: see `Linear.forward`."""
        if batch.fused:
            qkv = self.qkv_proj(x, norm=norm)
            y = self.attend.fused(qkv, batch, self.num_heads, cos_sin, self.norms)
            return self.o_proj(y, add=add, parts=parts)
        qk, v = self.qk_v(x)
        q, k = rope(qk, cos_sin).split_with_sizes((self.num_heads, self.num_kv_heads), 1)
        return self.o_proj(self.attend(q, k, v, batch))

    def qk_v(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Queries beside keys [T, H + K, D], and values [T, K, D]."""
        rotated, others = self.num_heads + self.num_kv_heads, self.num_kv_heads
        qkv = self.qkv_proj(x).view(x.shape[0], rotated + others, self.head_dim)
        qk, v = qkv.split_with_sizes((rotated, others), 1)
        return qk, v


class MLP(Block):
    def __init__(self, c: ModelConfig):
        super().__init__()
        bias = c.raw.get("mlp_bias", False)
        self.gate_up_proj = Linear(c.hidden_size, 2 * c.intermediate_size, bias)
        self.down_proj = Linear(c.intermediate_size, c.hidden_size, bias)

    def forward(
        self,
        x: Tensor,
        *,
        norm: RMSNorm | None = None,
        add: Tensor | None = None,
        parts: bool = False,
    ) -> Tensor:
        """As `SelfAttention.forward`."""
        y = self.gate_up_proj(x, norm=norm, act="silu", gate=True)
        return self.down_proj(y, add=add, parts=parts)

    def few(self, x: Tensor) -> bool:
        """As `Linear.few`."""
        return self.gate_up_proj.few(x, gate=True)


class Layer(Block):
    Attention = SelfAttention

    def __init__(self, c: ModelConfig, layer: int):
        super().__init__()
        self.input_layernorm = RMSNorm(c.hidden_size, c.norm_eps)
        self.self_attn = self.Attention(c, layer)
        self.post_attention_layernorm = RMSNorm(c.hidden_size, c.norm_eps)
        self.mlp = MLP(c)

    def forward(self, x: Tensor, residual: Tensor | None, cos_sin: Tensor, batch: Batch):
        if batch.fused and self.mlp.few(x):
            x = whole(x, residual)
            x = self.self_attn(x, cos_sin, batch, norm=self.input_layernorm, add=batch.pick(x))
            return self.mlp(x, norm=self.post_attention_layernorm, add=x), None
        x, residual = self.input_layernorm.add(x, residual)
        x = self.self_attn(x, cos_sin, batch, parts=True)
        x, residual = self.post_attention_layernorm.add(x, batch.pick(residual))
        return self.mlp(x, parts=True), residual


class Decoder(Block):
    cos_sin: Tensor  # [max_length, R] for the R dims of a head that are rotated

    def __init__(self, c: ModelConfig, layer: Callable[[ModelConfig, int], nn.Module]):
        super().__init__()
        self.embed_tokens = Embedding(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(layer(c, i) for i in range(c.num_layers))
        self.norm = RMSNorm(c.hidden_size, c.norm_eps)
        self.register_buffer("cos_sin", table(c), persistent=False)

    def rotations(self, batch: Batch) -> list[Tensor]:
        """What each layer rotates by."""
        return [by_position(self.cos_sin, batch)] * len(self.layers)

    def forward(self, batch: Batch) -> Tensor:  # [R, hidden]
        x, residual = self.embed_tokens(batch.ids), None
        each = batch.of_layers(len(self.layers))
        for layer, cos_sin, of_it in zip(self.layers, self.rotations(batch), each, strict=True):
            x, residual = layer(x, residual, cos_sin, of_it)
        return self.norm.add(x, residual)[0]


class LlamaForCausalLM(Block):
    REQUIRED: dict[str, tuple] = {"hidden_act": ("silu",)}
    Layer: type[nn.Module] = Layer
    Decoder = Decoder
    FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}

    def __init__(self, c: ModelConfig):
        super().__init__()
        self.model = self.Decoder(c, self.Layer)
        self.lm_head = Linear(c.hidden_size, c.vocab_size, bias=False)
        if c.tie_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, batch: Batch) -> Tensor:
        """Final hidden states [R, N] of the tokens that `batch.last` names."""
        return self.model(batch)

    def compute_logits(self, hidden: Tensor) -> Tensor:
        """hidden [R, N] -> [R, V]."""
        return self.lm_head(hidden)
