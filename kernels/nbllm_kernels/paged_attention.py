"""Causal attention of new tokens over a paged KV cache, and the write that precedes it.

softmax(q k^T * scale) v, each query seeing the tokens of its own request up to itself

The cache of all layers is one tensor kv [P, layers, 2, K, page_size, D], page-major, so that one
page of memory grows every layer. H query heads share K key-value heads: head h reads h // (H / K).
Decoding is bound by reading the cache.

Where a token's, or a page's, keys and values lie is the same in every layer but for an offset, so
those indices are computed once a step (`slot_rows`, `page_rows`) and shared by the layers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def slot_rows(kv: Tensor, slots: Tensor) -> Tensor:
    """Rows of kv.view(-1, D), in layer 0, of slots [T] (page * page_size + offset): [T, 2 * K]."""
    _, layers, two, heads, size, _ = kv.shape
    head = torch.arange(two * heads, device=kv.device)
    page, offset = slots // size, slots % size
    return (page[:, None] * layers * two * heads + head) * size + offset[:, None]


def page_rows(kv: Tensor, pages: Tensor) -> Tensor:
    """Rows of kv.view(-1, page_size * D), in layer 0, of pages [B, M]: [B, 2 * K, M]."""
    _, layers, two, heads, _, _ = kv.shape
    head = torch.arange(two * heads, device=kv.device)
    return pages[:, None, :] * (layers * two * heads) + head[None, :, None]


def write_kv_ref(kv: Tensor, layer: int, k: Tensor, v: Tensor, rows: Tensor) -> None:
    """Put k and v [T, K, D] of one layer at `rows`, of `slot_rows`."""
    _, _, two, heads, size, dim = kv.shape
    at = rows + layer * two * heads * size
    kv.view(-1, dim).index_copy_(0, at.flatten(), torch.cat((k, v), 1).flatten(0, 1))


def gather_kv(kv: Tensor, layer: int, rows: Tensor, kv_len: int) -> tuple[Tensor, Tensor]:
    """The first kv_len keys and values [B, K, kv_len, D] of the pages at `rows`, of `page_rows`."""
    _, _, two, heads, size, dim = kv.shape
    at = rows + layer * two * heads
    flat = kv.view(-1, size * dim).index_select(0, at.flatten())
    k, v = flat.view(len(rows), two, heads, -1, dim)[:, :, :, :kv_len].unbind(1)
    return k, v


def decode_mask(kv: Tensor, max_kv_len: int, kv_lens: Tensor) -> Tensor:
    """What each request sees of the longest one's tokens, as 0 or -inf: [B, 1, 1, max_kv_len]."""
    seen = torch.arange(max_kv_len, device=kv.device) < kv_lens[:, None]
    mask = torch.zeros(seen.shape, dtype=kv.dtype, device=kv.device).masked_fill_(~seen, -torch.inf)
    return mask[:, None, None, :]


def decode_attention_ref(
    q: Tensor, kv: Tensor, layer: int, rows: Tensor, mask: Tensor, scale: float
) -> Tensor:
    """One new token a request. q [B, H, D], rows of `page_rows`, `decode_mask` -> [B, H, D]."""
    k, v = gather_kv(kv, layer, rows, mask.shape[-1])
    # the heads that share a key-value head are its queries: [B, K, H / K, D]
    grouped = q.unflatten(1, (k.shape[1], -1))
    return F.scaled_dot_product_attention(grouped, k, v, attn_mask=mask, scale=scale).flatten(1, 2)


def prefill_attention_ref(
    q: Tensor, kv: Tensor, layer: int, rows: Tensor, kv_len: int, scale: float
) -> Tensor:
    """The last L tokens of one request's kv_len. q [L, H, D], rows [1, 2 * K, M] -> [L, H, D]."""
    k, v = gather_kv(kv, layer, rows, kv_len)
    new, mask = len(q), None
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
