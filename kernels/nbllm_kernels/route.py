"""Which k of E experts each token goes to, and with what weight (Shazeer et al. 2017).

p = softmax(logits);  ids, w = the k largest of p, ties to the lower number;  w / sum(w), if normalised

One program takes a token: E is small, and the k largest are found one after the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._triton import (
    await_inputs,
    jit,
    next_power_of_2,
    overlap,
    release,
    require_contiguous,
    tl,
    use_triton,
)


def route_ref(logits: Tensor, k: int, normalised: bool) -> tuple[Tensor, Tensor]:
    """As `route`."""
    p, ids = logits.float().softmax(-1).sort(dim=-1, descending=True, stable=True)
    weights = p[:, :k]
    if normalised:
        weights = weights / weights.sum(-1, keepdim=True)
    return ids[:, :k].int(), weights


@jit
def _route_kernel(
    logits_ptr,
    ids_ptr,
    weights_ptr,
    E: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
    NORMALISED: tl.constexpr,
    PDL: tl.constexpr,
):
    release(PDL)
    token = tl.program_id(0).to(tl.int64)
    e = tl.arange(0, BLOCK)
    await_inputs(PDL)
    logit = tl.load(logits_ptr + token * E + e, e < E, other=float("-inf")).to(tl.float32)
    p = tl.exp(logit - tl.max(logit, 0))
    left, chosen = tl.where(e < E, p, -1.0), 0.0
    place = tl.full([BLOCK], K, tl.int32)  # in which each was taken
    for i in tl.static_range(K):  # pyright: ignore
        best = tl.argmax(left, 0)
        chosen = chosen + tl.max(left, 0)  # pyright: ignore
        place = tl.where(e == best, i, place)
        left = tl.where(e == best, -1.0, left)
    weight = p / (chosen if NORMALISED else tl.sum(p, 0))
    tl.store(ids_ptr + token * K + place, e, place < K)
    tl.store(weights_ptr + token * K + place, weight, place < K)


def route(logits: Tensor, k: int, normalised: bool) -> tuple[Tensor, Tensor]:
    """logits [T, E] -> experts [T, k] int32, likeliest first, and their weights [T, k] float32."""
    tokens, count = logits.shape
    if not 0 < k <= count:
        raise ValueError(f"route: k must lie in [1, {count}], the number of experts, got {k}")
    if not use_triton(logits):
        return route_ref(logits, k, normalised)
    require_contiguous("route", logits=logits)
    ids = torch.empty(tokens, k, dtype=torch.int32, device=logits.device)
    weights = torch.empty(tokens, k, dtype=torch.float32, device=logits.device)
    if tokens:
        shape = {"E": count, "K": k, "BLOCK": next_power_of_2(count), "NORMALISED": normalised}
        _route_kernel[(tokens,)](logits, ids, weights, **shape, num_warps=1, **overlap(logits))
    return ids, weights
