"""Attention by kernels: from a layer's projection to its output in two launches, three, or of beams one.

On a GPU nothing here asks for a length: work lists are made on the device, once a step for all
layers (and another for the last, if it has fewer queries). Elsewhere the same functions run as their
references. Shapes as in layers.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nbllm_kernels.decode_attention import decode_attention, work_for_decode
from nbllm_kernels.prefill_attention import prefill_attention, work_for_prefill
from nbllm_kernels.qkv_rope import Projection, qkv_rope
from nbllm_kernels.tree_attention import (
    MAX_WIDTH,
    Tree,
    arrivals_for,
    begins_at_projection,
    tree_attention,
    tree_attention_of,
)

from .batch import PAGE_SIZE, Batch, Packed

if TYPE_CHECKING:
    from .layers import PagedAttention, RMSNorm


EVERYTHING = 1 << 30
"""A window that is none."""


def projection(
    batch: Batch, cos_sin: Tensor | None, norms: tuple[RMSNorm, RMSNorm] | None
) -> Projection:
    """What becomes of a layer's projection. See `PagedAttention.fused`."""
    where = batch.positions, batch.slots, cos_sin
    if norms is None:
        return Projection(*where)
    of_q, of_k = norms
    return Projection(*where, of_q.weight, of_k.weight, of_q.eps, of_q.offset)


def write(qkv: Tensor, of: Projection, batch: Batch, layer: int, num_heads: int) -> Tensor:
    """Queries [T, H, D]; keys and values go to their slots."""
    # a step's positions, slots and work lists are made before its first layer
    early = batch.packed is not None
    return qkv_rope(qkv, *of[:3], batch.kv, layer, num_heads, *of[3:], early=early)


def attend(q: Tensor, batch: Batch, of: PagedAttention) -> Tensor:
    """One token each of the decoding requests, then the chunks: q [T, H, D] -> [T, H, D].

    Or of the tokens that `batch.wanted` names.
    """
    packed = batch.packed
    assert packed is not None, "a batch of a GPU is packed, or one of beams"
    if batch.wanted is not None:
        if not len(batch.wanted):  # parts of prompts: their keys and values were all
            return q[:0]
        if packed.ends:
            return _ends(batch.pick(q), batch, packed, of)
        return batch.pick(attend(q, replace(batch, wanted=None), of))
    count = len(batch.kv_lens)
    if packed.q_starts is None:
        return _decode(q, batch, packed, of, torch.empty_like(q))
    if packed.chunk_rows is None:
        out = torch.empty_like(q)
    else:
        # padding of a captured step attends to nothing, and must not carry NaN to the null page;
        # nobody writes its part, and the layers have read theirs when the next one comes
        out = batch.once(("padded", q.shape), lambda: torch.zeros_like(q))
    if count:
        _decode(q[:count], batch, packed, of, out[:count])
    _prefill(q[count:], batch, packed, of, out[count:])
    return out


def _ends(q: Tensor, batch: Batch, packed: Packed, of: PagedAttention) -> Tensor:
    """The last token of each chunk: as if it were decoded."""
    assert packed.pages is not None
    assert packed.kv_lens is not None
    where = q, batch.kv, of.layer, packed.pages, packed.kv_lens, of.scale
    how = {"rows": packed.chunk_rows, "window": of.window, "softcap": of.softcap}
    return decode_attention(*where, **how)


def _decode(q: Tensor, batch: Batch, packed: Packed, of: PagedAttention, out: Tensor) -> Tensor:
    lens, key = batch.kv_lens, ("decode work", of.window)
    work = batch.once(key, lambda: work_for_decode(lens, batch.kv, of.window))
    where = q, batch.kv, of.layer, batch.pages, lens, of.scale
    how = {"rows": packed.rows, "window": of.window, "softcap": of.softcap}
    # the list of another window is made between layers
    return decode_attention(*where, work=work, out=out, early=not of.window, **how)


def _prefill(q: Tensor, batch: Batch, packed: Packed, of: PagedAttention, out: Tensor) -> Tensor:
    starts, pages, lens = packed.q_starts, packed.pages, packed.kv_lens
    assert starts is not None
    assert pages is not None
    assert lens is not None
    # with a window every tile of keys is masked, and one that has to be is computed like all others
    window = of.window or (EVERYTHING if packed.uniform else 0)
    plain = not (window or of.softcap)
    key = "prefill work", plain
    work = batch.once(key, lambda: work_for_prefill(starts, len(q), batch.kv, plain=plain))
    where = q, batch.kv, of.layer, pages, starts, lens, of.scale
    how = {"rows": packed.chunk_rows, "window": window, "softcap": of.softcap}
    return prefill_attention(*where, work=work, out=out, **how)


def tree_of(batch: Batch) -> Tree | None:
    """What the beams of a batch see; None where there are none, or too many of a group."""
    b = batch.beams
    if b is None or b.ancestors.shape[1] > MAX_WIDTH:
        return batch.tree
    # generated tokens fill their pages in order: every page's first slot names it
    own = b.slots.flatten(1)[:, ::PAGE_SIZE] // PAGE_SIZE
    of = b.pages, b.prompt_lens, own, b.ancestors, PAGE_SIZE
    return batch.once("tree", lambda: Tree.of_ancestors(*of))


def attend_tree(
    qkv: Tensor, where: Projection, batch: Batch, tree: Tree, of: PagedAttention, num_heads: int
) -> Tensor:
    """One token each of the beams of every group: qkv [T, (H + 2 K) * D] -> [T, H, D]."""
    arrivals = batch.once("arrivals", lambda: arrivals_for(tree, batch.kv, num_heads))
    rest = batch.kv, of.layer, tree, of.scale
    how = {"arrivals": arrivals, "window": of.window, "softcap": of.softcap}
    if batch.packed is not None and begins_at_projection(tree, num_heads, batch.kv):
        return tree_attention_of(qkv, where, *rest, num_heads, **how)
    return tree_attention(write(qkv, where, batch, of.layer, num_heads), *rest, **how)
