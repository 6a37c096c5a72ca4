"""Attention of the beams of a search over their prompt and the tree of what they have said.

softmax(cap(q k^T * scale)) v over the prompt and, of the generated tokens, those that a beam
descends from;   cap(s) = c tanh(s / c), if given

Bound by reading the cache. The W beams of a group and the H / K query heads that share a key-value
head are the rows of one tile, so that the keys of a group are read once for all its beams. Of the
generated tokens only those with a living descendant are read: a list of them comes with a bit for
each beam, and soon holds little more than one token a step, since beams share most of their history.
The prompt's pages, then the list, are shared out evenly among some programs; whoever ends last merges
their partial sums. Lengths are only read on the device. A program's first page of the prompt, older
than the step, is read before the launch before this one has ended (see `overlap`). Where tiles are few
or short a step is a chain of launches rather than bytes: then attention begins at the layer's
projection, so that everything but the newest token of every beam, the last of the list, is older, and
read before.

The cache of all layers is kv [P, layers, 2, K, page_size, D], addressed by base and strides.
"""

# in a kernel, types are Triton's business, and what a constexpr switches off is not read
# pyright: reportCallIssue=false, reportArgumentType=false, reportPossiblyUnboundVariable=false

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._triton import (
    await_inputs,
    jit,
    multiprocessors,
    next_power_of_2,
    overlap,
    release,
    require_contiguous,
    shared_memory,
    tl,
    use_triton,
)
from .decode_attention import capped
from .qkv_rope import (
    Projection,
    angles,
    check_cache,
    check_projection,
    head_weight,
    partner,
    qkv_rope_ref,
    turned,
)

MAX_WIDTH = 64
"""Beams of a group: a bit each of an integer."""
PROGRAMS = 4
"""Programs for each multiprocessor, if there is as much to do."""
SPLITS = 32
"""Programs that share a tile at the most."""
LEAST = 2
"""Pages for a program at the least: fewer are read in less time than merged."""
STAGES, WARPS = 2, 4
"""Of a program: blocks under way, and warps."""
FEW, FEW_BLOCKS, FEW_WARPS, FEW_PROGRAMS = 32, 2, 8, 1
"""Up to so many tiles a step waits for one launch after the other rather than for memory. Then attention
begins at the projection; there are few programs, each reads so many blocks before it waits, and these
are all it has unless prompts are long."""
SHORT = 16
"""Queries of a tile up to which it is so whatever their number: those of 16 prompts with 8 beams take 12.7
µs a layer in one launch instead of 18.2 (Qwen3-0.6B), tiles of 32 queries are slower than in two."""
NEWEST = 16
"""Beams of a group at the most whose newest tokens can be read apart."""


@dataclass(slots=True, kw_only=True, frozen=True)
class Tree:
    """What the W beams of each of G groups see. Token s * W + w is what beam w said at step s."""

    pages: Tensor  # [G, M] page tables of the prompts
    prompt_lens: Tensor  # [G] int32 their tokens
    own: Tensor  # [G, N] pages of the generated tokens, in the order of their numbers
    tokens: Tensor  # [G, U] int32 those that some beam descends from, ascending, the newest W last
    seen: Tensor  # [G, U] bit w: beam w does; int32, int64 from 33 beams on
    counts: Tensor  # [G] int32 how many of U there are
    lens: Tensor  # [G] int32 prompt, to the end of its last page, and count; 0: nothing to do
    width: int  # W

    @classmethod
    def of_ancestors(
        cls, pages: Tensor, prompt_lens: Tensor, own: Tensor, ancestors: Tensor, page_size: int
    ) -> Tree:
        """ancestors [G, W, S]: the beam of each step that a beam descends from, itself last."""
        groups, width, steps = ancestors.shape
        beam = torch.arange(width, device=pages.device)
        numbers = ancestors + width * torch.arange(steps, device=pages.device)
        bits = torch.zeros(groups, steps * width, dtype=torch.int64, device=pages.device)
        # every beam is there once a step, so that adding sets its bit
        bits.scatter_add_(
            1, numbers.flatten(1), (1 << beam).repeat_interleave(steps).expand(groups, -1)
        )
        dead, tokens = (bits == 0).to(torch.uint8).sort(dim=1, stable=True)
        counts = steps * width - dead.sum(1)
        filled = -(-prompt_lens // page_size) * page_size
        return cls(
            pages=pages,
            prompt_lens=prompt_lens.int(),
            own=own,
            tokens=tokens.int(),
            seen=bits.gather(1, tokens).to(seen_dtype(width)),
            counts=counts.int(),
            lens=(filled + counts).int(),
            width=width,
        )


def seen_dtype(width: int) -> torch.dtype:
    """Of the bits of `width` beams."""
    return torch.int32 if width <= 32 else torch.int64


def tree_attention_ref(
    q: Tensor,
    kv: Tensor,
    layer: int,
    tree: Tree,
    scale: float,
    window: int = 0,
    softcap: float = 0.0,
) -> Tensor:
    """As `tree_attention`, one beam after the other, in float32."""
    out, size, width = torch.zeros_like(q), kv.shape[4], tree.width
    for g, length in enumerate(tree.lens.tolist()):
        if not length:
            continue
        prompt, count = int(tree.prompt_lens[g]), int(tree.counts[g])
        at, said = torch.arange(prompt, device=q.device), tree.tokens[g, :count].long()
        page = torch.cat((tree.pages[g, at // size], tree.own[g, said // size])).long()
        offset = torch.cat((at, said)) % size
        position = torch.cat((at, prompt + said // width))
        keys, values = kv[page, layer, :, :, offset].float().permute(1, 2, 0, 3)  # [K, L, D]
        for w in range(width):
            sees = torch.cat((at >= 0, (tree.seen[g, :count] >> w & 1).bool()))
            if window:
                sees &= position > position[-1] - window
            b, k, v = g * width + w, keys[:, sees], values[:, sees]
            score = q[b].float().unflatten(0, (len(k), -1)) @ k.mT * scale  # [K, H / K, L]
            if softcap:
                score = softcap * (score / softcap).tanh()
            out[b] = (score.softmax(-1) @ v).flatten(0, 1).to(q.dtype)
    return out


@jit
def _more(q, k, v, visible, top, total, acc, scale, softcap, CAP: tl.constexpr):
    """The running softmax with a block of keys more."""
    score = tl.dot(q, k, input_precision="ieee") * scale
    if CAP:
        score = capped(score, softcap)
    score = tl.where(visible, score * 1.4426950408889634, float("-inf"))
    higher = tl.maximum(top, tl.max(score, 1))
    p = tl.exp2(score - higher[:, None])
    rescale = tl.exp2(top - higher)
    acc = tl.dot(p.to(v.dtype), v, acc * rescale[:, None], input_precision="ieee")
    return higher, total * rescale + tl.sum(p, 1), acc


@jit
def _listed(tokens_ptr, seen_ptr, own, prompt, at, here, page_stride, W, D, PAGE: tl.constexpr):
    """Where entries `at` of the list lie in the cache, their positions, and the bits of their beams."""
    token = tl.load(tokens_ptr + at, here, other=0)
    bits = tl.load(seen_ptr + at, here, other=0)
    page = tl.load(own + token // PAGE, here, other=0).to(tl.int64)
    return page * page_stride + (token % PAGE) * D, prompt + token // W, bits


@jit
def _visible(bits, beam, position, oldest, WINDOW: tl.constexpr):
    """Which of the entries with these bits a query's beam sees."""
    if WINDOW:
        bits = tl.where(position >= oldest, bits, 0)
    return (bits[None, :] >> beam[:, None].to(bits.dtype)) & 1 != 0


@jit(do_not_specialize=["layer", "window"])
def _tree_kernel(
    q_ptr,
    positions_ptr,
    slots_ptr,
    cos_sin_ptr,
    q_weight_ptr,
    k_weight_ptr,
    kv_ptr,
    pages_ptr,
    prompt_lens_ptr,
    own_ptr,
    tokens_ptr,
    seen_ptr,
    counts_ptr,
    lens_ptr,
    arrivals_ptr,
    out_ptr,
    part_ptr,
    lse_ptr,
    layer,
    window,
    scale,
    softcap,
    eps,
    offset,
    page_stride,
    layer_stride,
    kv_stride,
    pages_stride,
    own_stride,
    list_stride,
    K: tl.constexpr,
    W: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    PAGE: tl.constexpr,
    M: tl.constexpr,
    TILES: tl.constexpr,
    NEWEST: tl.constexpr,
    EARLY: tl.constexpr,
    PROJECTED: tl.constexpr,
    R: tl.constexpr,
    NORM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    WINDOW: tl.constexpr,
    CAP: tl.constexpr,
    STAGES: tl.constexpr,
    LEAST: tl.constexpr,
    SPLITS: tl.constexpr,
    BLOCK_S: tl.constexpr,
    PDL: tl.constexpr,
):
    """PROJECTED: queries, and the newest tokens' keys and values, are heads of a projection at q_ptr,
    of which R dims are rotated; what is made of those keys and values goes to the cache."""
    release(PDL)
    # a tile: M of the W * GROUP queries that share a key-value head
    tile, group, split = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    head, first = tile // TILES, tile % TILES * M
    length = tl.load(lens_ptr + group).to(tl.int32)
    prompt = tl.load(prompt_lens_ptr + group).to(tl.int32)
    filled = (prompt + PAGE - 1) // PAGE * PAGE
    count = tl.load(counts_ptr + group).to(tl.int32)
    if PROJECTED:  # the list without the newest tokens, and those
        newest = tl.where(length > 0, W, 0)
        count, length = count - newest, length - newest
    num_pages = (length + PAGE - 1) // PAGE
    size = tl.maximum((num_pages + SPLITS - 1) // SPLITS, LEAST)
    # somebody has to write the output of a group without anything to do
    parts = tl.maximum((num_pages + size - 1) // size, 1)
    if split >= parts:  # those that have something to do wait
        return
    start = split * size * PAGE
    stop = tl.minimum(start + size * PAGE, length)
    table, own = pages_ptr + group * pages_stride, own_ptr + group * own_stride
    tokens_ptr += group * list_stride
    seen_ptr += group * list_stride
    oldest = 0
    if WINDOW:
        last = count - 1
        if PROJECTED:
            last += newest
        oldest = prompt + tl.load(tokens_ptr + last, last >= 0, other=0) // W - window + 1

    m, n, d = tl.arange(0, M), tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_D)
    in_head, query = d < D, first + m
    beam = tl.minimum(query // GROUP, W - 1)
    q_at = ((group * W + query // GROUP) * K + head) * (GROUP * D) + query % GROUP * D
    in_q = (query < W * GROUP)[:, None] & in_head[None, :]
    layer_ptr = kv_ptr + layer.to(tl.int64) * layer_stride + head * (PAGE * D)
    k_at, v_at = n[None, :] * D + d[:, None], kv_stride + n[:, None] * D + d[None, :]
    if PROJECTED:
        # the first block, of the prompt, of the list, or of both
        early = start + tl.arange(0, EARLY)
        in_prompt, said = early < tl.minimum(prompt, stop), early - filled
        in_list = (said >= 0) & (said < stop - filled)
        token_at, position, bits = _listed(
            tokens_ptr, seen_ptr, own, prompt, said, in_list, page_stride, W, D, PAGE
        )
        pages = tl.load(table + early // PAGE, in_prompt, other=0).to(tl.int64)
        token_at = tl.where(in_prompt, pages * page_stride + early % PAGE * D, token_at)
        position = tl.where(in_prompt, early, position)
        bits = tl.where(in_prompt, -1, bits)
        here = in_prompt | in_list
        k_mask, v_mask = here[None, :] & in_head[:, None], here[:, None] & in_head[None, :]
        k = tl.load(layer_ptr + token_at[None, :] + d[:, None], k_mask, other=0.0)
        v = tl.load(layer_ptr + kv_stride + token_at[:, None] + d[None, :], v_mask, other=0.0)
        # where heads of the projection are, and what becomes of them
        heads: tl.constexpr = K * GROUP + 2 * K
        dims, of_head = d[None, :], in_head[None, :]
        pair_at = partner(dims, R)
        cos, sin, q_weight, q_pair, k_weight, k_pair = 1.0, 0.0, 1.0, 1.0, 1.0, 1.0
        if R:
            cos, sin = angles(cos_sin_ptr, tl.load(positions_ptr + group * W), dims, R)
        if NORM:
            q_weight = head_weight(q_weight_ptr, dims, of_head, offset)
            q_pair = head_weight(q_weight_ptr, pair_at, of_head, offset)
            k_weight = head_weight(k_weight_ptr, dims, of_head, offset)
            k_pair = head_weight(k_weight_ptr, pair_at, of_head, offset)
        from_q = (group * W + query // GROUP) * heads + head * GROUP + query % GROUP
        from_q = q_ptr + from_q[:, None] * D
        late = tl.arange(0, NEWEST)
        is_late = late < tl.where(split == 0, newest, 0)
        late_bits = tl.load(seen_ptr + count + late, is_late, other=0)
        late_mask = is_late[:, None] & of_head
        from_k = q_ptr + ((group * W + late) * heads + K * GROUP + head)[:, None] * D
        slot = tl.load(slots_ptr + group * W + late, is_late, other=0)
        to_k = layer_ptr + slot // PAGE * page_stride + slot % PAGE * D
        to_k = to_k[:, None] + dims
        await_inputs(PDL)
        q = tl.load(from_q + dims, in_q, other=0.0)
        q_with = tl.load(from_q + pair_at, in_q, other=0.0)
        late_k = tl.load(from_k + dims, late_mask, other=0.0)
        k_with = tl.load(from_k + pair_at, late_mask, other=0.0)
        late_v = tl.load(from_k + K * D + dims, late_mask, other=0.0)
        q = turned(q, q_with, q_weight, q_pair, cos, sin, eps, D, NORM, R > 0)
        late_k = turned(late_k, k_with, k_weight, k_pair, cos, sin, eps, D, NORM, R > 0)
        # a value that is loaded is handed on at once, and waited for; not what is made of it
        late_v = tl.where(late_mask, late_v, 0.0)
        # of the tiles that share a head, one
        to_mask = (late < tl.where(first == 0, newest, 0))[:, None] & late_mask
        tl.store(to_k, late_k, to_mask)
        tl.store(to_k + kv_stride, late_v, to_mask)
    else:
        here = start + n < tl.minimum(prompt, stop)
        first_page = tl.load(table + start // PAGE, start < filled, other=0).to(tl.int64)
        first_ptr = layer_ptr + first_page * page_stride
        k = tl.load(first_ptr + k_at, here[None, :] & in_head[:, None], other=0.0)
        v = tl.load(first_ptr + v_at, here[:, None] & in_head[None, :], other=0.0)
        await_inputs(PDL)
        q = tl.load(q_ptr + q_at[:, None] + d[None, :], in_q, other=0.0)
    # finite, so that a block without a visible key does not make -inf - -inf
    top = tl.full([M], -1e30, tl.float32)
    total = tl.zeros([M], tl.float32)
    acc = tl.zeros([M, BLOCK_D], tl.float32)
    if PROJECTED:
        sees = _visible(bits, beam, position, oldest, WINDOW)
        top, total, acc = _more(q, k, v, sees, top, total, acc, scale, softcap, CAP)
        sees_late = _visible(late_bits, beam, late, 0, False)  # what is newest is in every window
        k_late = tl.trans(late_k)
        top, total, acc = _more(q, k_late, late_v, sees_late, top, total, acc, scale, softcap, CAP)
    else:
        if WINDOW:
            here = here & (start + n >= oldest)
        top, total, acc = _more(q, k, v, here[None, :], top, total, acc, scale, softcap, CAP)
    later = start + EARLY
    for at in tl.range(later, tl.minimum(stop, filled), BLOCK_N, num_stages=STAGES):  # pyright: ignore
        page = tl.load(table + at // PAGE).to(tl.int64)
        block_ptr = layer_ptr + page * page_stride + (at % PAGE) * D
        real = at + n < prompt
        k_more = tl.load(block_ptr + k_at, real[None, :] & in_head[:, None], other=0.0)
        v_more = tl.load(block_ptr + v_at, real[:, None] & in_head[None, :], other=0.0)
        if WINDOW:
            real = real & (at + n >= oldest)
        top, total, acc = _more(
            q, k_more, v_more, real[None, :], top, total, acc, scale, softcap, CAP
        )
    # what is not projected has read nothing of the list yet
    begin = tl.maximum((later if PROJECTED else start) - filled, 0)
    end = tl.minimum(stop - filled, count)
    for at in tl.range(begin, end, BLOCK_N, num_stages=STAGES):  # pyright: ignore
        real = at + n < end
        more_at, more_position, more_bits = _listed(
            tokens_ptr, seen_ptr, own, prompt, at + n, real, page_stride, W, D, PAGE
        )
        k_ptrs = layer_ptr + more_at[None, :] + d[:, None]
        v_ptrs = layer_ptr + kv_stride + more_at[:, None] + d[None, :]
        k_more = tl.load(k_ptrs, real[None, :] & in_head[:, None], other=0.0)
        v_more = tl.load(v_ptrs, real[:, None] & in_head[None, :], other=0.0)
        visible = _visible(more_bits, beam, more_position, oldest, WINDOW)
        top, total, acc = _more(q, k_more, v_more, visible, top, total, acc, scale, softcap, CAP)
    # a group without anything to do, as padding is, gives zeros
    some = tl.where(total > 0.0, total, 1.0)
    acc = acc / some[:, None]
    if parts == 1:
        tl.store(out_ptr + q_at[:, None] + d[None, :], acc.to(out_ptr.dtype.element_ty), in_q)
        return
    tile_row = (group * (K * TILES) + tile) * SPLITS * M
    part = tile_row + split * M + m
    tl.store(part_ptr + part[:, None] * D + d[None, :], acc, in_head[None, :])
    tl.store(lse_ptr + part, tl.where(total > 0.0, top + tl.log2(some), float("-inf")))
    # every thread has written before one of them says so
    tl.debug_barrier()
    arrival_ptr = arrivals_ptr + group * (K * TILES) + tile
    if tl.atomic_add(arrival_ptr, 1, sem="acq_rel") == parts - 1:
        tl.store(arrival_ptr, 0)
        # not from a cache that other multiprocessors do not write to
        every, rows = tl.arange(0, BLOCK_S), tile_row + m
        lse_at = lse_ptr + rows[None, :] + every[:, None] * M
        lse = tl.load(lse_at, (every < parts)[:, None], other=float("-inf"), cache_modifier=".cg")
        highest = tl.max(lse, 0)
        total = tl.sum(tl.exp2(lse - highest[None, :]), 0)
        y = tl.zeros([M, BLOCK_D], tl.float32)
        for i in tl.range(0, parts, loop_unroll_factor=4):  # pyright: ignore
            row = rows + i * M
            weight = tl.exp2(tl.load(lse_ptr + row, cache_modifier=".cg") - highest) / total
            sums_at = part_ptr + row[:, None] * D + d[None, :]
            sums = tl.load(sums_at, in_head[None, :], other=0.0, cache_modifier=".cg")
            y += weight[:, None] * sums
        tl.store(out_ptr + q_at[:, None] + d[None, :], y.to(out_ptr.dtype.element_ty), in_q)


def arrivals_for(tree: Tree, kv: Tensor, num_heads: int) -> Tensor:
    """Zeros that layers share in a step, and leave behind: [G, tiles] int32."""
    tiles = kv.shape[3] * _tiles(tree.width, num_heads, kv)[1]
    return torch.zeros(len(tree.lens), tiles, dtype=torch.int32, device=kv.device)


def tree_attention(
    q: Tensor,
    kv: Tensor,
    layer: int,
    tree: Tree,
    scale: float,
    *,
    arrivals: Tensor | None = None,
    window: int = 0,
    softcap: float = 0.0,
    out: Tensor | None = None,
) -> Tensor:
    """One new token a beam, already in the cache and in the tree. q [G * W, H, D] -> [G * W, H, D].

    window: the newest positions that are seen, the token's own included, 0: all; softcap 0: none.
    arrivals: `arrivals_for` the same. At most MAX_WIDTH beams a group. A group with nothing to do
    gives zeros.
    """
    _check_width(tree)
    if not use_triton(q):
        y = tree_attention_ref(q, kv, layer, tree, scale, window, softcap)
        return y if out is None else out.copy_(y)
    y = torch.empty_like(q) if out is None else out
    require_contiguous("tree_attention", q=q, out=y)
    _launch(y, q, None, kv, layer, tree, scale, arrivals, window, softcap)
    return y


def tree_attention_of(
    qkv: Tensor,
    where: Projection,
    kv: Tensor,
    layer: int,
    tree: Tree,
    scale: float,
    num_heads: int,
    *,
    arrivals: Tensor | None = None,
    window: int = 0,
    softcap: float = 0.0,
) -> Tensor:
    """`qkv_rope` and `tree_attention` in one launch: qkv [G * W, (H + 2 K) * D] -> [G * W, H, D].

    For those of `begins_at_projection`. The newest W tokens of each group's list are its beams, in
    their order and all at one position, and go to the cache. All but qkv is older than the launch
    before this one: the tree, what `where` holds, and of the cache every token but these (see
    `overlap`).
    """
    check_projection("tree_attention", qkv, where, kv, num_heads)
    if not begins_at_projection(tree, num_heads, kv):
        raise ValueError(f"tree_attention: {len(tree.lens)} x {tree.width} beams are too many")
    if not use_triton(qkv):
        q = qkv_rope_ref(qkv, *where[:3], kv, layer, num_heads, *where[3:])
        return tree_attention_ref(q, kv, layer, tree, scale, window, softcap)
    y = qkv.new_empty(len(qkv), num_heads, kv.shape[5])
    _launch(y, qkv, where, kv, layer, tree, scale, arrivals, window, softcap)
    return y


def _check_width(tree: Tree) -> None:
    if tree.width > MAX_WIDTH:
        raise ValueError(f"tree_attention: {tree.width} beams; there may be {MAX_WIDTH} at most")


def _launch(
    y: Tensor,
    q: Tensor,
    where: Projection | None,
    kv: Tensor,
    layer: int,
    tree: Tree,
    scale: float,
    arrivals: Tensor | None,
    window: int,
    softcap: float,
) -> None:
    (batch, heads, dim), (num_kv_heads, size) = y.shape, kv.shape[3:5]
    check_cache("tree_attention", kv)
    if not batch:
        return
    m, tiles = _tiles(tree.width, heads, kv)
    groups, projected = len(tree.lens), where is not None
    programs = multiprocessors(kv) * (FEW_PROGRAMS if projected else PROGRAMS)
    splits = min(SPLITS, -(-programs // (groups * num_kv_heads * tiles)))
    rows = groups * num_kv_heads * tiles * splits * m
    parts = torch.empty(rows, dim, dtype=torch.float32, device=q.device)
    lse = torch.empty(rows, dtype=torch.float32, device=q.device)
    block_d = max(16, next_power_of_2(dim))
    block_n = _block_n(kv)
    of = where or Projection(tree.lens, tree.lens, None)
    _tree_kernel[(num_kv_heads * tiles, groups, splits)](
        q,
        of.positions,
        of.slots,
        of.cos_sin,
        of.q_weight,
        of.k_weight,
        kv,
        tree.pages,
        tree.prompt_lens,
        tree.own,
        tree.tokens,
        tree.seen,
        tree.counts,
        tree.lens,
        arrivals_for(tree, kv, heads) if arrivals is None else arrivals,
        y,
        parts,
        lse,
        layer,
        window,
        scale,
        softcap,
        of.eps,
        of.offset,
        kv.stride(0),
        kv.stride(1),
        kv.stride(2),
        tree.pages.stride(0),
        tree.own.stride(0),
        tree.tokens.stride(0),
        K=num_kv_heads,
        W=tree.width,
        GROUP=heads // num_kv_heads,
        D=dim,
        PAGE=size,
        M=m,
        TILES=tiles,
        NEWEST=NEWEST,
        EARLY=FEW_BLOCKS * block_n if projected else block_n,
        PROJECTED=projected,
        R=0 if of.cos_sin is None else of.cos_sin.shape[1],
        NORM=of.q_weight is not None,
        BLOCK_N=block_n,
        BLOCK_D=block_d,
        WINDOW=window > 0,
        CAP=softcap > 0,
        STAGES=STAGES,
        LEAST=LEAST,
        SPLITS=splits,
        BLOCK_S=next_power_of_2(splits),
        num_warps=FEW_WARPS if projected else WARPS,
        **overlap(q),
    )


def begins_at_projection(tree: Tree, num_heads: int, kv: Tensor) -> bool:
    """Whether `tree_attention_of` is for these: few or short tiles, and what they read early fits."""
    m, tiles = _tiles(tree.width, num_heads, kv)
    few = m <= SHORT or len(tree.lens) * kv.shape[3] * tiles <= FEW
    if tree.width > NEWEST or not few:
        return False
    keys = 2 * (FEW_BLOCKS * _block_n(kv) + NEWEST)
    needed = (keys + m) * next_power_of_2(kv.shape[5]) * kv.element_size()
    # the compiler keeps some more there
    return needed * 5 // 4 <= shared_memory(kv)


def _block_n(kv: Tensor) -> int:
    """Keys of a block."""
    size, dim = kv.shape[4:]
    return min(size, 64 if kv.element_size() <= 2 and dim <= 128 else 32)


def _tiles(width: int, num_heads: int, kv: Tensor) -> tuple[int, int]:
    """(queries in a tile, tiles of a key-value head)."""
    queries = width * num_heads // kv.shape[3]
    m = min(64 if kv.shape[5] <= 128 else 32, max(16, next_power_of_2(queries)))
    return m, -(-queries // m)
