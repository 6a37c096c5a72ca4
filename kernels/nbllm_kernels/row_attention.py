"""Decode attention over keys and values that lie side by side, one stretch of memory a request.

softmax(q k^T * scale) v, one query token a request

side [layers, 2, S, K, L, D] holds up to L tokens of each of S requests; the first B of them decode.
Bound by reading it once, where `paged_attention` reads pages, writes their copy and reads that.
"""

from typing import NamedTuple

import torch
from torch import Tensor


def side_rows(side: Tensor, positions: Tensor) -> Tensor:
    """Rows of side.view(-1, D) of the tokens at positions [B] of the first B: [layers, B * 2 * K]."""
    layers, two, requests, heads, tokens, _ = side.shape
    row = torch.arange(layers * two * requests * heads, device=side.device)
    row = row.view(layers, two, requests, heads)[:, :, : len(positions)].transpose(1, 2)
    return (row * tokens + positions[:, None, None]).flatten(1)


def side_mask(side: Tensor, kv_lens: Tensor, max_kv_len: int) -> Tensor:
    """What each request sees of the longest one's tokens, as 0 or -inf: [B * K, 1, max_kv_len]."""
    unseen = torch.arange(max_kv_len, device=side.device) >= kv_lens[:, None]
    mask = torch.zeros(unseen.shape, dtype=side.dtype, device=side.device)
    return mask.masked_fill_(unseen, -torch.inf).repeat_interleave(side.shape[3], 0)[:, None]


class Bags(NamedTuple):
    """Which values each query head sums: rows of a layer's as [S * K * L, D], head after head."""

    rows: Tensor  # [B * H * max_kv_len] int32
    starts: Tensor  # [B * H] int32, where in `rows` each head's begin


def side_bags(side: Tensor, count: int, num_heads: int, max_kv_len: int) -> Bags:
    """For the first `count` requests' tokens up to the longest one's."""
    heads, tokens = side.shape[3:5]
    head = torch.arange(count * num_heads, dtype=torch.int32) // (num_heads // heads)
    token = torch.arange(max_kv_len, dtype=torch.int32)
    starts = torch.arange(0, count * num_heads * max_kv_len, max_kv_len, dtype=torch.int32)
    return Bags((head[:, None] * tokens + token).flatten(), starts)


def side_views(side: Tensor, count: int, max_kv_len: int) -> list[tuple[Tensor, Tensor]]:
    """Each layer's keys of the first `count`, [B * K, D, max_kv_len], and all its values, [S * K * L, D]."""
    keys = side[:, 0, :count].flatten(1, 2)[:, :, :max_kv_len].transpose(2, 3).unbind(0)
    return list(zip(keys, side[:, 1].flatten(1, 3).unbind(0), strict=True))


def row_attention_ref(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, bags: Bags, scale: float
) -> Tensor:
    """q [B, H, D], a layer's `side_views`, `side_mask` -> [B, H, D]."""
    # the heads that share a key-value head are its queries
    grouped = q.reshape(k.shape[0], -1, q.shape[-1])
    weights = torch.baddbmm(mask, grouped, k, alpha=scale).softmax(-1)
    # a weighted sum of rows, as torch has it for embeddings: a product of many small matrices takes
    # two to four times as long
    out = torch.embedding_bag(v, *bags, False, 0, False, weights.view(-1))[0]
    return out.view(q.shape)


row_attention = row_attention_ref
