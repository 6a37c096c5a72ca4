"""Decode attention over a paged cache in float32 on a CPU, which reads keys and values where they lie.

softmax(cap(q k^T * scale)) v, one query token a request, as `paged_attention` has it

A key and a value are rows of a table, and both products are about rows: those of the keys times a
query are samples of a product of matrices, and values times their probabilities a weighted sum as
embeddings have it. torch has both for rows wherever they lie, so nothing is gathered, and each takes
half the time of a product of many small matrices.
"""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

with warnings.catch_warnings():
    # torch says once that sparse tensors of rows are in beta: better here than to users
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 0], [], [], (1, 1), device="cpu")


class Layout(NamedTuple):
    """Where a step finds its B requests' tokens, N of each, in any layer's tables."""

    tables: list[tuple[Tensor, ...]]  # each layer's keys and values, as rows [R, D]
    rows: Tensor  # [B * H * N] which of them each query head reads
    starts: Tensor  # [B * H + 1] where in `rows` each one's begin
    scores: Tensor  # sparse [B * H, R], which one layer after the other writes


def row_layout(kv: Tensor, pages: Tensor, num_heads: int, max_kv_len: int) -> Layout:
    """For the first max_kv_len tokens of pages [B, M]."""
    num_pages, layers, two, heads, size, dim = kv.shape
    part, page_rows = heads * size, layers * two * heads * size
    # as many rows as there are from the last layer's values on
    count = (num_pages - 1) * page_rows + part
    strides = two * part * dim, part * dim, dim, 1
    tables = [t.unbind() for t in kv.as_strided((layers, two, count, dim), strides).unbind()]
    dtype = torch.int32 if num_pages * page_rows < 1 << 31 else torch.int64
    where = {"dtype": dtype, "device": kv.device}
    token, head = torch.arange(max_kv_len, device=kv.device), torch.arange(num_heads, **where)
    page = pages.index_select(1, token // size).to(dtype)
    first = torch.add((token % size).to(dtype), page, alpha=page_rows)
    rows = (first[:, None] + (head // (num_heads // heads) * size)[:, None]).view(-1)
    starts = torch.arange(0, len(rows) + 1, max_kv_len, **where)
    zeros = torch.zeros(len(rows), dtype=kv.dtype, device=kv.device)
    shape, options = (len(starts) - 1, count), {"device": kv.device, "check_invariants": False}
    scores = torch.sparse_csr_tensor(starts, rows, zeros, shape, **options)
    return Layout(tables, rows, starts, scores)


def row_attention_ref(
    q: Tensor, layer: int, layout: Layout, mask: Tensor, scale: float, softcap: float = 0.0
) -> Tensor:
    """q [B, H, D], `row_layout`, `decode_mask` -> [B, H, D].

    A score that is infinite or no number stays one in the layers that follow.
    """
    (keys, values), sparse = layout.tables[layer], layout.scores
    query = q.reshape(-1, q.shape[-1])
    torch.sparse.sampled_addmm(sparse, query, keys.t(), beta=0.0, alpha=scale, out=sparse)
    scores = sparse.values().view(*q.shape[:2], mask.shape[-1])
    if softcap:
        scores = scores.div_(softcap).tanh_().mul_(softcap)
    weights = torch.add(scores, mask[:, 0]).softmax(-1).view(-1)
    # neither scaled by frequency nor sparse, and sums
    options = layout.rows, layout.starts, False, 0, False, weights, True
    return torch.embedding_bag(values, *options)[0].view(q.shape)


row_attention = row_attention_ref
