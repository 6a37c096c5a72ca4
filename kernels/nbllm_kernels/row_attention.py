"""Decode attention over keys and values that lie side by side, one stretch of memory a request.

softmax(q k^T * scale) v, one query token a request

side [layers, 2, S, K, L, D] holds up to L tokens of each of S requests; the first B of them decode.
Bound by reading it once, where `paged_attention` reads pages, writes their copy and reads that.
"""

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


def side_views(side: Tensor, count: int, max_kv_len: int) -> list[tuple[Tensor, Tensor]]:
    """Each layer's keys [B * K, D, max_kv_len] and values [B * K, max_kv_len, D] of the first `count`."""
    keys, values = side[:, :, :count].flatten(2, 3)[:, :, :, :max_kv_len].unbind(1)
    return list(zip(keys.transpose(2, 3).unbind(0), values.unbind(0), strict=True))


def row_attention_ref(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    """q [B, H, D], a layer's `side_views`, `side_mask` -> [B, H, D]."""
    # the heads that share a key-value head are its queries; their two products are faster here
    # than torch's attention, which does a little of both at a time
    grouped = q.reshape(k.shape[0], -1, q.shape[-1])
    weights = torch.baddbmm(mask, grouped, k, alpha=scale).softmax(-1)
    return torch.bmm(weights, v).view(q.shape)


row_attention = row_attention_ref
