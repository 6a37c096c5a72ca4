"""Causal attention of new tokens over a paged KV cache, and the write that precedes it.

softmax(cap(q k^T * scale)) v, each query seeing the last `window` tokens of its own request up to
itself (0: all);   cap(s) = c tanh(s / c), if given

The cache of all layers is one tensor kv [P, layers, 2, K, page_size, D], page-major, so that one
page of memory grows every layer. H query heads share K key-value heads: head h reads h // (H / K).
Decoding is bound by reading the cache.

Where tokens' keys and values lie is computed once a step, for all layers (`slot_rows`, `page_rows`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

GRAIN = 32
"""Tokens that are gathered together: a page's unused end is not copied."""


def slot_rows(kv: Tensor, slots: Tensor) -> Tensor:
    """Rows of kv.view(-1, D) of slots [T] (page * page_size + offset): [layers, T * 2 * K]."""
    _, layers, two, heads, size, _ = kv.shape
    row = torch.arange(0, layers * two * heads * size, size, device=kv.device).view(layers, 1, -1)
    first = torch.add(slots % size, slots // size, alpha=layers * two * heads * size)
    return (first[:, None] + row).flatten(1)


def page_rows(kv: Tensor, pages: Tensor, kv_len: int) -> Tensor:
    """Rows of kv.view(-1, GRAIN * D) of the first kv_len tokens of pages [B, M].

    [layers, B, 2 * K, ceil(kv_len / GRAIN)]
    """
    _, layers, two, heads, size, _ = kv.shape
    row = torch.arange(layers * two * heads, device=kv.device).view(layers, 1, -1, 1)
    grain = torch.arange(-(-kv_len // GRAIN), device=kv.device)
    per_page = size // GRAIN
    page = pages[:, None, grain // per_page]
    return (page * layers * two * heads + row) * per_page + grain % per_page


def write_kv_ref(kv: Tensor, new: Tensor, rows: Tensor) -> None:
    """Put one layer's new keys beside values [T, 2 * K, D] at its `rows`, of `slot_rows`."""
    kv.view(-1, new.shape[-1]).index_copy_(0, rows, new.flatten(0, 1))


def gather_kv(kv: Tensor, rows: Tensor, kv_len: int) -> tuple[Tensor, Tensor]:
    """The first kv_len keys and values [B, K, kv_len, D] of one layer's `rows`, of `page_rows`."""
    _, _, two, heads, _, dim = kv.shape
    flat = kv.view(-1, GRAIN * dim).index_select(0, rows.flatten())
    k, v = flat.view(len(rows), two, heads, -1, dim)[:, :, :, :kv_len].unbind(1)
    return k, v


def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, softcap: float = 0.0
) -> Tensor:
    """q [B, H, L, D] over k and v [B, K, N, D] -> [B, H, L, D]; mask [B, 1, L, N], None: causal."""
    if not softcap:
        gqa = q.shape[1] != k.shape[1]
        options = {"attn_mask": mask, "is_causal": mask is None, "scale": scale, "enable_gqa": gqa}
        return F.scaled_dot_product_attention(q, k, v, **options)
    assert mask is not None, "a soft cap comes with a mask"
    grouped = q.unflatten(1, (k.shape[1], -1)).float()  # [B, K, H / K, L, D]
    score = grouped @ k[:, :, None].float().mT * scale
    p = (softcap * (score / softcap).tanh() + mask[:, :, None]).softmax(-1)
    return (p @ v[:, :, None].float()).flatten(1, 2).to(q.dtype)


def decode_mask(kv: Tensor, max_kv_len: int, kv_lens: Tensor, window: int = 0) -> Tensor:
    """What each request sees of the longest one's tokens, as 0 or -inf: [B, 1, 1, max_kv_len]."""
    behind = kv_lens[:, None] - 1 - torch.arange(max_kv_len, device=kv.device)
    seen = in_window(behind, window)
    mask = torch.zeros(seen.shape, dtype=kv.dtype, device=kv.device).masked_fill_(~seen, -torch.inf)
    return mask[:, None, None, :]


def in_window(behind: Tensor, window: int) -> Tensor:
    """Whether a query sees a key so many tokens behind it."""
    return (behind >= 0) & (behind < window) if window else behind >= 0


def decode_attention_ref(
    q: Tensor, kv: Tensor, rows: Tensor, mask: Tensor, scale: float, softcap: float = 0.0
) -> Tensor:
    """One new token a request. q [B, H, D], a layer's `page_rows`, `decode_mask` -> [B, H, D]."""
    k, v = gather_kv(kv, rows, mask.shape[-1])
    # the heads that share a key-value head are its queries: [B, K, H / K, D]
    grouped = q.unflatten(1, (k.shape[1], -1))
    return attend(grouped, k, v, mask, scale, softcap).flatten(1, 2)


def prefill_mask(kv: Tensor, kv_len: int, positions: Tensor, window: int = 0) -> Tensor:
    """What tokens at positions [C, L] see of kv_len tokens, as 0 or -inf: [C, 1, L, kv_len]."""
    seen = in_window(positions[..., None] - torch.arange(kv_len, device=kv.device), window)
    mask = torch.zeros(seen.shape, dtype=kv.dtype, device=kv.device).masked_fill_(~seen, -torch.inf)
    return mask[:, None]


def prefill_attention_ref(
    q: Tensor,
    kv: Tensor,
    rows: Tensor,
    kv_len: int,
    mask: Tensor | None,
    scale: float,
    softcap: float = 0.0,
) -> Tensor:
    """Several new tokens each of C requests. q [C, L, H, D], a layer's `page_rows` -> q's shape.

    mask is `prefill_mask`'s, or None where the L new tokens are all there is, and all are seen.
    """
    k, v = gather_kv(kv, rows, kv_len)
    return attend(q.transpose(1, 2), k, v, mask, scale, softcap).transpose(1, 2)


write_kv = write_kv_ref
decode_attention = decode_attention_ref
prefill_attention = prefill_attention_ref
