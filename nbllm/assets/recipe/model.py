"""A compact Llama for training, with Hugging Face's parameter names, and its export."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from .settings import Settings

Mask = Tensor | BlockMask


class RMSNorm(nn.Module):
    """x / rms(x) * weight, in float32."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-5)
        return (y * self.weight).to(x.dtype)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions, inside each document of a row."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.groups, self.head_dim = s.num_heads // s.num_kv_heads, s.head_dim
        self.q_proj = nn.Linear(s.hidden_size, s.num_heads * s.head_dim, bias=False)
        self.k_proj = nn.Linear(s.hidden_size, s.num_kv_heads * s.head_dim, bias=False)
        self.v_proj = nn.Linear(s.hidden_size, s.num_kv_heads * s.head_dim, bias=False)
        self.o_proj = nn.Linear(s.num_heads * s.head_dim, s.hidden_size, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Mask) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (
            proj(x).view(b, t, -1, self.head_dim).transpose(1, 2)  # [B, H or K, T, D]
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if isinstance(mask, BlockMask):
            y = flex_attention(q, k, v, block_mask=mask, enable_gqa=True)
        else:
            # No fast kernel takes both a mask and grouped heads.
            k, v = (z.repeat_interleave(self.groups, dim=1) for z in (k, v))
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1))


class MLP(nn.Module):
    """down(silu(gate(x)) * up(x))"""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(s.hidden_size, s.intermediate_size, bias=False)
        self.up_proj = nn.Linear(s.hidden_size, s.intermediate_size, bias=False)
        self.down_proj = nn.Linear(s.intermediate_size, s.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention and MLP, each after a norm and added to what it read."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(s.hidden_size)
        self.self_attn = Attention(s)
        self.post_attention_layernorm = RMSNorm(s.hidden_size)
        self.mlp = MLP(s)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Mask) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    """Embedding, layers and the last norm."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(s.vocab_size, s.hidden_size)
        self.layers = nn.ModuleList(Layer(s) for _ in range(s.num_layers))
        self.norm = RMSNorm(s.hidden_size)


class Llama(nn.Module):
    """The model; embedding and output share their weights."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.head_dim, self.theta = s.head_dim, s.rope_theta
        self.model = Decoder(s)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                # What writes into the residual stream starts smaller the deeper the model is.
                scale = (
                    (2 * s.num_layers) ** -0.5
                    if name.endswith(("o_proj.weight", "down_proj.weight"))
                    else 1.0
                )
                nn.init.normal_(p, std=0.02 * scale)

    def forward(self, rows: Tensor, mask: Mask) -> Tensor:
        """The mean loss of int16 rows, over the tokens that are to be learnt."""
        ids = ids_of(rows)  # [B, T]
        cos, sin = rotations(ids.shape[1], self.head_dim, self.theta, ids.device)
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, cos, sin, mask)
        logits = F.linear(self.model.norm(x), self.model.embed_tokens.weight)[:, :-1]  # [B, T-1, V]
        targets = torch.where(rows < 0, -100, ids)[:, 1:]
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def ids_of(rows: Tensor) -> Tensor:
    """The token ids of int16 rows, without the flag of those that are only read."""
    return (rows.int() & 0x7FFF).long()


def dense_mask(rows: Tensor, bos: int) -> Tensor:
    """[B, 1, T, T]: whether a token may look at another: earlier, and in the same document."""
    document = (ids_of(rows) == bos).int().cumsum(1)
    t = rows.shape[1]
    causal = torch.ones(t, t, dtype=torch.bool, device=rows.device).tril()
    return ((document[:, :, None] == document[:, None, :]) & causal)[:, None]


def block_mask(rows: Tensor, bos: int) -> BlockMask:
    """The same for FlexAttention, which skips the blocks in which nothing is seen."""
    document = (ids_of(rows) == bos).int().cumsum(1)
    b, t = rows.shape

    def visible(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (q >= k) & (document[b, q] == document[b, k])

    return create_block_mask(visible, b, None, t, t, device=rows.device.type)


def rotations(t: int, head_dim: int, theta: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary angles, each [T, D]."""
    frequencies = theta ** (-torch.arange(0, head_dim, 2, device=device) / head_dim)
    angles = torch.outer(torch.arange(t, device=device), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding on the two halves of a head."""
    one, other = x.float().chunk(2, dim=-1)
    return (x * cos + torch.cat((-other, one), dim=-1) * sin).to(x.dtype)


def num_parameters(model: nn.Module) -> int:
    """All parameters, the shared embedding once."""
    return sum(p.numel() for p in model.parameters())


def export(model: Llama, s: Settings, folder: Path, bos: int, eos: int, pad: int) -> None:
    """Write `config.json`, `generation_config.json` and `model.safetensors` in bfloat16."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": s.vocab_size,
        "hidden_size": s.hidden_size,
        "intermediate_size": s.intermediate_size,
        "num_hidden_layers": s.num_layers,
        "num_attention_heads": s.num_heads,
        "num_key_value_heads": s.num_kv_heads,
        "head_dim": s.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": s.rope_theta,
        "max_position_embeddings": s.max_positions,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "use_cache": True,
        "dtype": "bfloat16",
    }
    generation = {
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_new_tokens": 200,
    }
    for name, content in (("config", config), ("generation_config", generation)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    tensors = {
        name: p.detach().to("cpu", torch.bfloat16).contiguous()
        for name, p in model.state_dict().items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    # safetensors writes for its owner alone; the folder is shipped.
    (folder / "model.safetensors").chmod(0o644)
