"""The few modules that decoders share. Shapes: T tokens, H query heads, K key-value heads, D head dim."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nbllm_kernels.beam_attention import beam_attention, beam_keys
from nbllm_kernels.linear import linear, pack
from nbllm_kernels.paged_attention import (
    decode_attention,
    decode_mask,
    page_rows,
    prefill_attention,
    slot_rows,
    write_kv,
)
from nbllm_kernels.rms_norm import add_rms_norm, rms_norm

from .batch import Batch, Beams


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
        self.packed: Tensor | None = None

    def ready(self) -> None:
        """The weights are there and will not change: prepare what makes them fast."""
        self.packed = pack(self.weight)

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
        kv, layer, parts, decoding = batch.kv, self.layer, [], len(batch.kv_lens)
        slots = batch.once("slots", lambda: slot_rows(kv, batch.slots))
        write_kv(kv, layer, k, v, slots)
        if batch.beams is not None:
            return self._beams(q, batch.beams, batch)
        if decoding:
            rows = batch.once("pages", lambda: page_rows(kv, batch.pages))
            mask = batch.once("mask", lambda: decode_mask(kv, batch.max_kv_len, batch.kv_lens))
            parts.append(decode_attention(q[:decoding], kv, layer, rows, mask, self.scale))
        for i, chunk in enumerate(batch.chunks):
            rows = batch.once(i, lambda c=chunk: page_rows(kv, c.pages))
            mine = q[chunk.tokens]
            parts.append(prefill_attention(mine, kv, layer, rows, chunk.kv_len, self.scale))
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).flatten(1)

    def _beams(self, q: Tensor, b: Beams, batch: Batch) -> Tensor:
        keys = batch.once(
            "beams",
            lambda: beam_keys(
                batch.kv,
                b.pages,
                b.prompt_lens,
                b.max_prompt_len,
                b.slots,
                b.ancestors,
                q.shape[1],
            ),
        )
        return beam_attention(q, batch.kv, self.layer, keys, self.scale).flatten(1)
