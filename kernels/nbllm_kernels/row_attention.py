"""Decode attention over a paged cache in float32 on a CPU, which reads keys and values where they lie.

softmax(cap(q k^T * scale)) v, one query token a request, as `paged_attention` has it

A key and a value are rows of a table, and both products are about rows: those of the keys times a
query are samples of a product of matrices, and values times their probabilities a weighted sum as
embeddings have it. torch has both for rows wherever they lie, so nothing is gathered, and each takes
half the time of a product of many small matrices.
"""

import warnings
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor


class Layout(NamedTuple):
    """Where a step finds its B requests' tokens, N of each, in any layer's tables."""

    tables: list[
        tuple[Tensor, ...]
    ]  # [layers][2] keys and values [R, D], from the layer's first on
    rows: Tensor  # [B * H * N] which of them each query head reads
    starts: Tensor  # [B * H + 1] where in `rows` each one's begin
    scores: Tensor  # sparse [B * H, R], which each layer writes anew
    num_tokens: int  # N


def row_layout(kv: Tensor, pages: Tensor, num_heads: int, max_kv_len: int) -> Layout:
    """For the first max_kv_len tokens of pages [B, M]."""
    num_pages, layers, two, heads, size, dim = kv.shape
    part, page_rows = heads * size, layers * two * heads * size
    # as many rows as there are from the last layer's values on
    count = (num_pages - 1) * page_rows + part
    strides = two * part * dim, part * dim, dim, 1
    tables = [t.unbind() for t in kv.as_strided((layers, two, count, dim), strides).unbind()]
    dtype = torch.int32 if num_pages * page_rows < 1 << 31 else torch.int64
    token, head = torch.arange(max_kv_len), torch.arange(num_heads, dtype=dtype)
    page = pages.index_select(1, token // size).to(dtype)
    first = torch.add((token % size).to(dtype), page, alpha=page_rows)
    rows = (first[:, None] + (head // (num_heads // heads) * size)[:, None]).view(-1)
    starts = torch.arange(0, len(rows) + 1, max_kv_len, dtype=dtype)
    return Layout(tables, rows, starts, _sparse(starts, rows, count), max_kv_len)


def _sparse(starts: Tensor, columns: Tensor, count: int) -> Tensor:
    """Zeros in `columns` of rows that begin at `starts`: [len(starts) - 1, count]."""
    _silence()
    values = torch.zeros(len(columns))
    shape = len(starts) - 1, count
    return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)


@cache
def _silence() -> None:
    """torch says once that sparse tensors of rows are in beta; better here than to users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 0], [], [], (1, 1))


def row_mask(layout: Layout, mask: Tensor) -> Tensor:
    """What is added to each score, as `decode_mask` [B, 1, 1, N] says: [B * H, N]."""
    heads = (len(layout.starts) - 1) // len(mask)
    return mask.expand(-1, heads, -1, -1).reshape(-1, layout.num_tokens)


def row_attention_ref(
    q: Tensor, layer: int, layout: Layout, mask: Tensor, scale: float, softcap: float = 0.0
) -> Tensor:
    """q [B, H, D], `row_mask` -> [B, H, D]."""
    (keys, values), sparse = layout.tables[layer], layout.scores
    query = q.reshape(-1, q.shape[-1])
    torch.sparse.sampled_addmm(sparse, query, keys.t(), beta=0.0, alpha=scale, out=sparse)
    scores = sparse.values().view(mask.shape)
    if softcap:
        scores = scores.div_(softcap).tanh_().mul_(softcap)
    weights = torch.add(scores, mask).softmax(-1).view(-1)
    # neither scaled by frequency nor sparse, and sums
    options = layout.rows, layout.starts, False, 0, False, weights, True
    return torch.embedding_bag(values, *options)[0].view(q.shape)


row_attention = row_attention_ref
