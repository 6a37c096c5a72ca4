"""Attention of the beams of a search: over their prompt, and each over its own ancestors.

softmax(cap(q k^T * scale)) v, with the keys of the prompt and of the beam's own generated tokens,
the last `window` of them (0: all);   cap(s) = c tanh(s / c), if given

Nothing is copied when beams fork. The W beams of a group share the prompt's pages; the token that
beam w consumed at step s has its keys and values in slot (s, w); and a table of ancestors says which
of those slots belong to a beam: those of the beams it descends from. So the keys of a group are read
once for all its beams: M = W * H / K queries a key-value head.

Bound by reading the keys and values. Of the W slots of a step only those with living descendants are
read, which soon is one: beams of one search share most of their history.
"""

import torch
from torch import Tensor

from .paged_attention import attend, slot_rows


def live_slots(ancestors: Tensor) -> tuple[Tensor, Tensor]:
    """Which of a group's S * W slots any beam descends from, padded to the longest list.

    ancestors [G, W, S] -> (slots [G, U] as s * W + w, seen [G, W, U]: whether a beam sees them).
    """
    groups, width, steps = ancestors.shape
    step = torch.arange(steps, device=ancestors.device)
    used = torch.zeros(groups, steps * width, dtype=torch.uint8, device=ancestors.device)
    used.scatter_(1, (ancestors + step * width).flatten(1), 1)
    _, slots = used.topk(int(used.sum(1, dtype=torch.int64).max()), sorted=False)
    of = ancestors.gather(2, (slots // width)[:, None].expand(-1, width, -1))
    # a slot that pads the list has no descendants, so no beam sees it
    return slots, of == (slots % width)[:, None]


def beam_keys(
    kv: Tensor,
    pages: Tensor,
    prompt_lens: Tensor,
    max_prompt_len: int,
    slots: Tensor,
    ancestors: Tensor,
    num_heads: int,
    window: int = 0,
) -> tuple[Tensor, Tensor]:
    """Where the L keys of each group lie, in every layer, and which beam sees which.

    pages [G, M] of the prompts, prompt_lens [G] their tokens, at most max_prompt_len; slots
    [G, S, W] of steps and beams; ancestors [G, W, S].
    Returns rows [layers, G * 2 * K * L] of kv.view(-1, D), and a mask [G, 1, W * H / K, L].
    """
    _, layers, _, heads, size, _ = kv.shape
    groups, width, steps = ancestors.shape
    at = torch.arange(max_prompt_len, device=kv.device)
    prompt = pages[:, at // size] * size + at % size
    seen_prompt = (at < prompt_lens[:, None])[:, None].expand(-1, width, -1)
    live, seen_live = live_slots(ancestors)
    if window:
        newest = prompt_lens + steps - 1
        seen_prompt = seen_prompt & (at > (newest - window)[:, None])[:, None]
        seen_live = seen_live & (live // width > steps - 1 - window)[:, None]
    every = torch.cat((prompt, slots.flatten(1).gather(1, live)), 1)
    rows = slot_rows(kv, every.flatten()).view(layers, groups, -1, 2 * heads).transpose(2, 3)
    seen = torch.cat((seen_prompt, seen_live), 2)
    mask = torch.zeros(seen.shape, dtype=kv.dtype, device=kv.device).masked_fill_(~seen, -torch.inf)
    shared = mask[:, None, :, None].expand(-1, -1, -1, num_heads // heads, -1)
    return rows.flatten(1), shared.flatten(2, 3)


def beam_attention_ref(
    q: Tensor, kv: Tensor, rows: Tensor, mask: Tensor, scale: float, softcap: float = 0.0
) -> Tensor:
    """One new token a beam. q [G * W, H, D]; a layer's rows, and the mask, of `beam_keys` -> q's shape."""
    _, _, two, heads, _, dim = kv.shape
    flat = kv.view(-1, dim).index_select(0, rows)
    k, v = flat.view(len(mask), two, heads, -1, dim).unbind(1)  # [G, K, L, D]
    # the queries of a key-value head: W beams times the heads that share it
    grouped = q.view(len(mask), -1, heads, q.shape[1] // heads, dim).transpose(1, 2)
    out = attend(grouped.flatten(2, 3), k, v, mask, scale, softcap)
    return out.view(grouped.shape).transpose(1, 2).reshape(q.shape)


beam_attention = beam_attention_ref
