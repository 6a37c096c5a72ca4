"""The few modules that decoders share. Shapes: T tokens, H query heads, K key-value heads, D head dim."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nbllm_kernels.beam_attention import beam_attention, beam_keys
from nbllm_kernels.linear import Product, linear, pack
from nbllm_kernels.paged_attention import (
    decode_attention,
    decode_mask,
    page_rows,
    prefill_attention,
    prefill_mask,
    slot_rows,
    write_kv,
)
from nbllm_kernels.rms_norm import add_rms_norm, rms_norm

from . import fused
from .batch import Batch, Beams, Chunk


def empty(*shape: int) -> nn.Parameter:
    """A parameter without memory: `load.build` gives it some, of the right dtype and device."""
    return nn.Parameter(torch.empty(shape, device="meta"), requires_grad=False)


# torch's own Linear and Embedding draw random weights first, which imports its compiler and is
# thrown away anyway
class Linear(nn.Module):
    """x W^T + b, with W [out, in]."""

    def __init__(self, size_in: int, size_out: int, bias: bool = False):
        super().__init__()
        self.weight = empty(size_out, size_in)
        self.bias = empty(size_out) if bias else None
        self.packed: Product | None = None

    def ready(self) -> None:
        """The weights are there and will not change: prepare what makes them fast."""
        self.packed = pack(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias, self.packed)


class Embedding(nn.Module):
    """The rows of a table [count, size]."""

    def __init__(self, count: int, size: int):
        super().__init__()
        self.weight = empty(count, size)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)


class RMSNorm(nn.Module):
    """Root-mean-square norm; with a residual it adds first and returns both."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight, self.eps = empty(size), eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)

    def add(self, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
        """(norm(x + residual), x + residual)."""
        return add_rms_norm(x, residual, self.weight, self.eps)


class LayerNorm(nn.Module):
    """Layer norm with weight and bias."""

    def __init__(self, size: int, eps: float = 1e-5):
        super().__init__()
        self.weight, self.bias, self.eps = empty(size), empty(size), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class PagedAttention(nn.Module):
    """Writes the new keys and values to their pages, then attends over all of a request's."""

    def __init__(self, layer: int, head_dim: int):
        super().__init__()
        self.layer, self.scale = layer, head_dim**-0.5

    def forward(self, q: Tensor, k: Tensor, v: Tensor, batch: Batch) -> Tensor:
        """q [T, H, D], k and v [T, K, D] -> [T, H * D]."""
        if batch.fused:
            return self.fused(torch.cat((q, k, v), 1).flatten(1), batch, q.shape[1])
        slots = batch.once("slots", lambda: slot_rows(batch.kv, batch.slots))
        write_kv(batch.kv, k, v, slots[self.layer])
        if batch.beams is not None:
            return self.beams(q, batch.beams, batch).flatten(1)
        if not batch.chunks:
            return self.decode(q, batch).flatten(1)
        out, decoding = torch.empty_like(q), len(batch.kv_lens)
        if decoding:
            out[:decoding] = self.decode(q[:decoding], batch)
        for chunk in batch.chunks:
            new = self.prefill(q[chunk.tokens], chunk, batch)
            out.index_copy_(0, chunk.tokens.flatten(), new.flatten(0, 1))
        return out.flatten(1)

    def fused(
        self,
        qkv: Tensor,
        batch: Batch,
        num_heads: int,
        cos_sin: Tensor | None = None,
        norms: tuple[RMSNorm, RMSNorm] | None = None,
    ) -> Tensor:
        """qkv [T, (H + 2 K) * D] of a `batch.fused` -> [T, H * D].

        cos_sin: `rope_table`, if queries and keys are rotated; norms: of their heads, if any.
        """
        q = fused.write(qkv, batch, self.layer, num_heads, cos_sin, norms)
        if (tree := fused.tree_of(batch)) is not None:
            return fused.attend_tree(q, batch, tree, self.layer, self.scale).flatten(1)
        if batch.beams is not None:
            return self.beams(q, batch.beams, batch).flatten(1)
        return fused.attend(q, batch, self.layer, self.scale).flatten(1)

    def decode(self, q: Tensor, batch: Batch) -> Tensor:
        kv, longest = batch.kv, batch.max_kv_len
        rows = batch.once("rows", lambda: page_rows(kv, batch.pages, longest))
        mask = batch.once("mask", lambda: decode_mask(kv, longest, batch.kv_lens))
        return decode_attention(q, kv, rows[self.layer], mask, self.scale)

    def prefill(self, q: Tensor, chunk: Chunk, batch: Batch) -> Tensor:
        kv, longest, mask = batch.kv, chunk.max_kv_len, None
        rows = batch.once((id(chunk), "rows"), lambda: page_rows(kv, chunk.pages, longest))
        if chunk.tokens.shape != (1, longest):
            positions = batch.positions[chunk.tokens]
            mask = batch.once((id(chunk), "mask"), lambda: prefill_mask(kv, longest, positions))
        return prefill_attention(q, kv, rows[self.layer], longest, mask, self.scale)

    def beams(self, q: Tensor, b: Beams, batch: Batch) -> Tensor:
        kv, heads = batch.kv, q.shape[1]
        of = b.pages, b.prompt_lens, b.max_prompt_len, b.slots, b.ancestors
        rows, mask = batch.once("beams", lambda: beam_keys(kv, *of, heads))
        return beam_attention(q, kv, rows[self.layer], mask, self.scale)
