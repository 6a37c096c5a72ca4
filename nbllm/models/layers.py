"""The few modules that decoders share. Shapes: T tokens, H query heads, K key-value heads, D head dim."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nbllm_kernels.beam_attention import beam_attention, beam_keys
from nbllm_kernels.gated_linear import gated, gated_linear
from nbllm_kernels.layer_norm import add_layer_norm, layer_norm
from nbllm_kernels.linear import Product, linear_ref, pack
from nbllm_kernels.paged_attention import (
    decode_attention,
    decode_mask,
    page_rows,
    prefill_attention,
    prefill_mask,
    slot_rows,
    write_kv,
)
from nbllm_kernels.rms_norm import add_rms_norm, added_ref, rms_norm
from nbllm_kernels.row_attention import row_attention, row_layout
from nbllm_kernels.skinny_linear import ACTS, MOST, Norm, choose, skinny_linear, takes_norm
from nbllm_kernels.skinny_tiles import BlockTile, HopperTile, RowsTile, RowTile, Tile

from . import fused
from .batch import Batch, Beams, Chunk


def empty(*shape: int) -> nn.Parameter:
    """A parameter without memory: `load.build` gives it some, of the right dtype and device."""
    return nn.Parameter(torch.empty(shape, device="meta"), requires_grad=False)


class Block(nn.Module):
    """A module whose parts are ordinary attributes, too.

    torch keeps them elsewhere, and Python looks for each in vain first, which makes an error and its
    message: of a decoding step on a CPU a few percent.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in self.__dict__.get("_modules", ()):
            self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        if name in self._modules:
            self.__dict__.pop(name, None)
        super().__delattr__(name)


# torch's own Linear and Embedding draw random weights first, which imports its compiler and is
# thrown away anyway
class Linear(nn.Module):
    """act(norm(x) W^T + b) + add, with W [out, in]; norm, act and add: where they are given."""

    most = MOST
    """Rows up to which own kernels do it, where they are faster; 0: never, by products of any size."""

    def __init__(self, size_in: int, size_out: int, bias: bool = False):
        super().__init__()
        self.weight = empty(size_out, size_in)
        self.bias = empty(size_out) if bias else None
        self.packed: Product | None = None

    def ready(self) -> None:
        """The weights are there and will not change: prepare what makes them fast."""
        self.packed = pack(self.weight, self.bias)

    def tile(self, x: Tensor, gate: bool = False) -> Tile | None:
        """With what own kernels do it; None: a product of any size is faster."""
        return choose(x, self.weight, gate, self.most)

    def few(self, x: Tensor, gate: bool = False) -> bool:
        """Whether x has so few rows that the sum and, of few columns, the norm cost no launch."""
        return isinstance(self.tile(x, gate), RowTile | RowsTile)

    def forward(
        self,
        x: Tensor,
        *,
        norm: "RMSNorm | LayerNorm | None" = None,
        act: str | None = None,
        gate: bool = False,
        add: Tensor | None = None,
        parts: bool = False,
    ) -> Tensor:
        """x [T, in] -> [T, out], or half of it: with `gate`, act(g) * u of the halves g, u.

        act: a name of `skinny_linear.ACTS`; add [T, out]. parts: there may be several tensors to
        add up instead of one, [S, T, out] in float32, as the `add` of a norm takes it.
        """
        if self.packed:
            return around(self.packed(x if norm is None else norm(x)), act, gate, add)
        tile, of = self.tile(x, gate), None if norm is None else norm.fused
        if norm is not None and not (of and takes_norm(x, tile)):
            x, of = norm(x), None
        if isinstance(tile, BlockTile | HopperTile) and tile.splits > 1 and not parts:
            tile = None
        if tile is not None:
            options = {"norm": of, "act": act, "gate": gate, "add": add, "tile": tile}
            return skinny_linear(x.contiguous(), self.weight, self.bias, **options)
        if gate and self.most:
            y = gated_linear(x, self.weight, self.bias, act)
            return y if add is None else add + y
        return around(linear_ref(x, self.weight, self.bias), act, gate, add)


def around(y: Tensor, act: str | None, gate: bool, add: Tensor | None) -> Tensor:
    """What follows a product, see `Linear.forward`."""
    y = gated(y, act) if gate else ACTS[act](y)
    return y if add is None else add + y


class Embedding(nn.Module):
    """The rows of a table [count, size]."""

    def __init__(self, count: int, size: int):
        super().__init__()
        self.weight = empty(count, size)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)


class RMSNorm(nn.Module):
    """Root-mean-square norm; with a residual it adds first and returns both.

    offset: what is added to the weights; 1 where a checkpoint has their distance from one.
    """

    def __init__(self, size: int, eps: float, offset: float = 0.0):
        super().__init__()
        self.weight, self.eps, self.offset = empty(size), eps, offset

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps, offset=self.offset)

    @property
    def fused(self) -> Norm | None:
        """As `skinny_linear` takes it, if it does."""
        return None if self.offset else Norm(self.weight, None, self.eps, center=False)

    def add(self, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
        """(norm(x + residual), x + residual); x [T, N] or its parts, see `Linear.forward`."""
        return add_rms_norm(x, residual, self.weight, self.eps, offset=self.offset)


class LayerNorm(nn.Module):
    """Layer norm with weight and bias."""

    def __init__(self, size: int, eps: float = 1e-5):
        super().__init__()
        self.weight, self.bias, self.eps = empty(size), empty(size), eps

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight, self.bias, self.eps)

    @property
    def fused(self) -> Norm:
        """As `RMSNorm.fused`."""
        return Norm(self.weight, self.bias, self.eps, center=True)

    def add(self, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `RMSNorm.add`."""
        return add_layer_norm(x, residual, self.weight, self.bias, self.eps)


class NoNorm(nn.Module):
    """Where others have a norm."""

    def add(self, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `RMSNorm.add`."""
        total = whole(x, residual)
        return total, total


def whole(x: Tensor, residual: Tensor | None) -> Tensor:
    """x + residual; x [T, N] or its parts, see `Linear.forward`."""
    return x if residual is None else added_ref(x, residual)


class PagedAttention(nn.Module):
    """Writes the new keys and values to their pages, then attends over all of a request's.

    window: the newest tokens that a query sees, its own included, 0: all; scale: of the scores,
    default head_dim ** -0.5; softcap: what bounds the scores, 0: nothing.
    """

    def __init__(
        self,
        layer: int,
        head_dim: int,
        *,
        window: int = 0,
        scale: float | None = None,
        softcap: float = 0.0,
    ):
        super().__init__()
        self.layer, self.window, self.softcap = layer, window, softcap
        self.scale = head_dim**-0.5 if scale is None else scale

    def forward(self, q: Tensor, k: Tensor, v: Tensor, batch: Batch) -> Tensor:
        """q [T, H, D], k and v [T, K, D] -> [T, H * D], or what `batch.wanted` says of it."""
        if batch.fused:
            return self.fused(torch.cat((q, k, v), 1).flatten(1), batch, q.shape[1])
        slots = batch.once("slots", lambda: slot_rows(batch.kv, batch.slots).unbind())
        write_kv(batch.kv, torch.cat((k, v), 1), slots[self.layer])
        if (wanted := batch.wanted) is None:
            return self.paged(q, batch).flatten(1)
        if not len(wanted):
            return q[:0].flatten(1)
        return batch.pick(self.paged(q, batch).flatten(1))

    def paged(self, q: Tensor, batch: Batch) -> Tensor:
        """Attention of all tokens, whose keys and values are in the cache: [T, H, D]."""
        if not batch.chunks:
            beams = batch.beams
            return self.decode(q, batch) if beams is None else self.beams(q, beams, batch)
        out, decoding = torch.empty_like(q), len(batch.kv_lens)
        if decoding:
            out[:decoding] = self.decode(q[:decoding], batch)
        for chunk in batch.chunks:
            y = self.prefill(q[chunk.tokens], chunk, batch)
            out.index_copy_(0, chunk.tokens.flatten(), y.flatten(0, 1))
        return out

    def fused(
        self,
        qkv: Tensor,
        batch: Batch,
        num_heads: int,
        cos_sin: Tensor | None = None,
        norms: tuple[RMSNorm, RMSNorm] | None = None,
    ) -> Tensor:
        """qkv [T, (H + 2 K) * D] of a `batch.fused` -> [T, H * D], as `forward`.

        cos_sin: `rope_table`, if queries and keys are rotated; norms: of their heads, if any.
        """
        where = fused.projection(batch, cos_sin, norms)
        if (tree := fused.tree_of(batch)) is not None:
            return fused.attend_tree(qkv, where, batch, tree, self, num_heads).flatten(1)
        q = fused.write(qkv, where, batch, self.layer, num_heads)
        if batch.beams is not None:
            return self.beams(q, batch.beams, batch).flatten(1)
        return fused.attend(q, batch, self).flatten(1)

    def decode(self, q: Tensor, batch: Batch) -> Tensor:
        kv, longest, window = batch.kv, batch.max_kv_len, self.window
        key = "mask", window
        mask = batch.once(key, lambda: decode_mask(kv, longest, batch.kv_lens, window))
        if kv.is_cpu and kv.dtype == torch.float32:
            of = batch.pages, q.shape[1], longest
            layout = batch.once(("layout", of[1]), lambda: row_layout(kv, *of))
            return row_attention(q, self.layer, layout, mask, self.scale, self.softcap)
        rows = batch.once("rows", lambda: page_rows(kv, batch.pages, longest))
        return decode_attention(q, kv, rows[self.layer], mask, self.scale, self.softcap)

    def prefill(self, q: Tensor, chunk: Chunk, batch: Batch) -> Tensor:
        kv, longest, mask, window = batch.kv, chunk.max_kv_len, None, self.window
        rows = batch.once((id(chunk), "rows"), lambda: page_rows(kv, chunk.pages, longest))
        if chunk.tokens.shape != (1, longest) or window or self.softcap:
            positions, key = batch.positions[chunk.tokens], (id(chunk), "mask", window)
            mask = batch.once(key, lambda: prefill_mask(kv, longest, positions, window))
        return prefill_attention(q, kv, rows[self.layer], longest, mask, self.scale, self.softcap)

    def beams(self, q: Tensor, b: Beams, batch: Batch) -> Tensor:
        kv, heads, window = batch.kv, q.shape[1], self.window
        of = b.pages, b.prompt_lens, b.max_prompt_len, b.slots, b.ancestors
        rows, mask = batch.once(("beams", window), lambda: beam_keys(kv, *of, heads, window))
        return beam_attention(q, kv, rows[self.layer], mask, self.scale, self.softcap)
