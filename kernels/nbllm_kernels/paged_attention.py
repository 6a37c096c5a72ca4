"""Causal attention of new tokens over a paged KV cache, and the write that precedes it.

softmax(q k^T * scale) v, each query seeing the tokens of its own request up to itself

The cache of all layers is one tensor kv [P, layers, 2, K, page_size, D], page-major, so that one
page of memory grows every layer. H query heads share K key-value heads: head h reads h // (H / K).
Decoding is bound by reading the cache.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def write_kv_ref(kv: Tensor, layer: int, k: Tensor, v: Tensor, slots: Tensor) -> None:
    """Put k and v [T, K, D] at slots [T] (page * page_size + offset) of one layer of `kv`."""
    page, offset = slots // kv.shape[4], slots % kv.shape[4]
    kv[:, layer][page, :, :, offset] = torch.stack((k, v), 1)


def gather_kv(kv: Tensor, layer: int, pages: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values [B, K, M * page_size, D] of the pages [B, M] of one layer."""
    _, layers, _, heads, size, dim = kv.shape
    # heads are gathered as rows of the flat cache: one copy, in the order that attention wants
    row = (pages * layers + layer)[:, None, :] * (2 * heads)  # [B, 1, M]
    row = row + torch.arange(2 * heads, device=kv.device)[None, :, None]  # [B, 2 * K, M]
    flat = kv.view(-1, size * dim).index_select(0, row.flatten())
    k, v = flat.view(len(pages), 2, heads, -1, dim).unbind(1)
    return k, v


def decode_attention_ref(
    q: Tensor, kv: Tensor, layer: int, pages: Tensor, kv_lens: Tensor, scale: float
) -> Tensor:
    """One new token a request. q [B, H, D], pages [B, M], kv_lens [B] (itself included) -> [B, H, D]."""
    k, v = gather_kv(kv, layer, pages)
    seen = torch.arange(k.shape[2], device=kv.device) < kv_lens[:, None]  # [B, S]
    # the heads that share a key-value head are its queries: [B, K, H / K, D]
    grouped = q.unflatten(1, (k.shape[1], -1))
    out = F.scaled_dot_product_attention(
        grouped, k, v, attn_mask=seen[:, None, None, :], scale=scale
    )
    return out.flatten(1, 2)


def prefill_attention_ref(
    q: Tensor, kv: Tensor, layer: int, pages: Tensor, kv_len: int, scale: float
) -> Tensor:
    """The last L tokens of one request's kv_len. q [L, H, D], pages [M] -> [L, H, D]."""
    k, v = gather_kv(kv, layer, pages[None])
    k, v = k[:, :, :kv_len], v[:, :, :kv_len]
    new = len(q)
    mask = None
    if new < kv_len:  # earlier tokens are in the cache: row i sees kv_len - new + i + 1 of them
        mask = torch.ones(new, kv_len, dtype=torch.bool, device=q.device).tril(kv_len - new)
    out = F.scaled_dot_product_attention(
        q.transpose(0, 1)[None],
        k,
        v,
        attn_mask=mask,
        is_causal=mask is None,
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return out[0].transpose(0, 1)


write_kv = write_kv_ref
decode_attention = decode_attention_ref
prefill_attention = prefill_attention_ref
