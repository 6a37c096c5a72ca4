"""Beam searches on the device: a step's inputs out, its candidates in.

Groups search with W beams each. Of the C likeliest tokens that each live beam offers (likeliest.py)
those that end a sequence are left aside; of the others the W with the largest

total = score of the beam + log-probability,   ties by beam, then by rank

live on, in that order. No sequence ends early: a group is done at its limit, or when no beam lives.
Every step leaves a record of what was offered and of what was kept, and nothing else is needed of it;
records are read later, so there are several. Between two steps the host is not needed.

`beam_inputs` is the first kernel of a step, `beam_select` the last, one program a group. Both move a
few kilobytes: what they cost is a launch, and in the second a maximum over W * C for each beam.
"""

# in a kernel, types are Triton's business
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from ._triton import jit, next_power_of_2, require_contiguous, tl, use_triton
from .tree_attention import Tree, seen_dtype

ALIGNED = 16
"""Words at whose multiples arrays begin, as kernels like it."""
BLOCK = 256
LIST = 512
"""Entries of a list that are looked at together."""


@dataclass(slots=True, frozen=True, kw_only=True)
class BeamState:
    """Where G searches are, and the records of their latest R steps: that of step s is the s % R-th.

    Token s * W + w is what beam w said at step s, the first ones being the prompt's last.
    """

    step: Tensor  # [G] int32, steps done
    limit: Tensor  # [G] int32, steps at most
    done: Tensor  # [G] int32, no more steps
    prompt_lens: Tensor  # [G] int32, tokens of the prompt in the cache: all but its last
    counts: Tensor  # [G] int32, how many of `seen_tokens` there are
    newest: Tensor  # [G, W] int32, the last token of every beam
    scores: Tensor  # [G, W] float64, cumulative log-probabilities; -inf: no such beam
    temperature: Tensor  # [G, W] float32, what logits are divided by
    pages: Tensor  # [G, M] int32, page tables of the prompts
    own: Tensor  # [G, N] int32, pages of the generated tokens
    ends: Tensor  # [V / 32] int32, a bit for each token: whether it completes a sequence
    seen_tokens: Tensor  # [G, U] int32, generated tokens with living descendants, see `Tree`
    seen: Tensor  # [G, U] int32 or int64, bit w: beam w descends from it
    made: Tensor  # [R, G] int32, the step that a record is of, from 1
    ended: Tensor  # [R, G] int32, whether it was the last
    parents: Tensor  # [R, G, W] int32, beam * C + rank of the candidates that lived on
    totals: Tensor  # [R, G, W] float64, their scores
    tokens: Tensor  # [R, G, W, C] int32, the candidates
    logprobs: Tensor  # [R, G, W, C] float32

    def tree(self, lens: Tensor) -> Tree:
        """What the beams see; `lens` of `beam_inputs`."""
        return Tree(
            pages=self.pages,
            prompt_lens=self.prompt_lens,
            own=self.own,
            tokens=self.seen_tokens,
            seen=self.seen,
            counts=self.counts,
            lens=lens,
            width=self.newest.shape[1],
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class BeamShape:
    """The sizes of a `BeamState`, all of which is one tensor of int32 words."""

    groups: int
    width: int
    candidates: int  # of each beam
    steps: int  # at most
    prompt_pages: int  # of each prompt, at most
    vocab: int
    records: int
    page_size: int

    @property
    def fields(self) -> Fields:
        """What the host gives, then what it does not."""
        each, listed = (self.groups,), (self.groups, self.steps * self.width)
        numbers = ("step", "limit", "done", "prompt_lens", "counts")
        return {
            **dict.fromkeys(numbers, (each, torch.int32)),
            "newest": ((*each, self.width), torch.int32),
            "scores": ((*each, self.width), torch.float64),
            "temperature": ((*each, self.width), torch.float32),
            "pages": ((*each, self.prompt_pages), torch.int32),
            "own": ((*each, -(-listed[1] // self.page_size)), torch.int32),
            "ends": ((-(-self.vocab // 32),), torch.int32),
            "seen_tokens": (listed, torch.int32),
            "seen": (listed, seen_dtype(self.width)),
        }

    @property
    def record_fields(self) -> Fields:
        """Those of one record."""
        beams = (self.groups, self.width)
        return {
            "totals": (beams, torch.float64),
            "parents": (beams, torch.int32),
            "made": ((self.groups,), torch.int32),
            "ended": ((self.groups,), torch.int32),
            "tokens": ((*beams, self.candidates), torch.int32),
            "logprobs": ((*beams, self.candidates), torch.float32),
        }

    @property
    def given_words(self) -> int:
        """Words up to the first that the host does not give."""
        return _places(self.fields)["seen_tokens"][0]

    @property
    def state_words(self) -> int:
        """Words without the records."""
        return _size(self.fields)

    @property
    def record_words(self) -> int:
        """Words of a record."""
        return _size(self.record_fields)

    @property
    def num_words(self) -> int:
        """Words in all."""
        return self.state_words + self.records * self.record_words

    def record_views(self, words: Tensor) -> dict[str, Tensor]:
        """The fields of records [n, record_words], each [n, ...]."""
        return {
            name: words[:, start:stop].view(dtype).view(-1, *self.record_fields[name][0])
            for name, (start, stop, dtype) in _places(self.record_fields).items()
        }

    def records_in(self, words: Tensor) -> Tensor:
        """[records, record_words] of all words."""
        return words[self.state_words :].view(self.records, self.record_words)

    def views(self, words: Tensor) -> dict[str, Tensor]:
        """The fields that lie in the first words."""
        return {
            name: words[start:stop].view(dtype).view(self.fields[name][0])
            for name, (start, stop, dtype) in _places(self.fields).items()
            if stop <= len(words)
        }

    def state(self, words: Tensor) -> BeamState:
        """All words as a state."""
        return BeamState(**self.views(words), **self.record_views(self.records_in(words)))


Fields = dict[str, tuple[tuple[int, ...], torch.dtype]]


def _places(fields: Fields) -> dict[str, tuple[int, int, torch.dtype]]:
    """(first word, last + 1, type) of every field."""
    places, start = {}, 0
    for name, (shape, dtype) in fields.items():
        size = prod(shape) * dtype.itemsize // 4
        places[name] = start, start + size, dtype
        start += -(-size // ALIGNED) * ALIGNED
    return places


def _size(fields: Fields) -> int:
    *_, (_, stop, _) = _places(fields).values()
    return -(-stop // ALIGNED) * ALIGNED


@dataclass(slots=True, frozen=True, kw_only=True)
class BeamInputs:
    """The newest token of every beam, as a model takes it. Groups that are done see no token."""

    ids: Tensor  # [G * W] int64
    positions: Tensor  # [G * W] int64
    slots: Tensor  # [G * W] int64, page * page_size + offset, in the null page for those
    lens: Tensor  # [G] int32 of `Tree`, 0 for those


def beam_inputs_ref(state: BeamState, page_size: int) -> BeamInputs:
    """As `beam_inputs`."""
    active, width = state.done == 0, state.newest.shape[1]
    number = state.step[:, None] * width + torch.arange(width, device=active.device)
    page = state.own.gather(1, (number // page_size).clamp(max=state.own.shape[1] - 1).long())
    slots = torch.where(active[:, None], page * page_size + number % page_size, 0)
    position = torch.where(active, state.prompt_lens + state.step, 0)
    filled = -(-state.prompt_lens // page_size) * page_size
    return BeamInputs(
        ids=state.newest.flatten().long(),
        positions=position.repeat_interleave(width).long(),
        slots=slots.flatten().long(),
        lens=torch.where(active, filled + state.counts, 0).int(),
    )


@jit(do_not_specialize=["G"])
def _inputs_kernel(
    step_ptr,
    done_ptr,
    prompt_lens_ptr,
    counts_ptr,
    newest_ptr,
    own_ptr,
    ids_ptr,
    positions_ptr,
    slots_ptr,
    lens_ptr,
    G,
    N,
    W: tl.constexpr,
    PAGE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    b = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    group, beam = (b // W).to(tl.int64), b % W
    real = group < G
    active = real & (tl.load(done_ptr + group, real, other=1) == 0)
    step = tl.load(step_ptr + group, active, other=0)
    prompt = tl.load(prompt_lens_ptr + group, active, other=0)
    number = step * W + beam
    page = tl.load(own_ptr + group * N + number // PAGE, active, other=0).to(tl.int64)
    tl.store(ids_ptr + b, tl.load(newest_ptr + b, real, other=0).to(tl.int64), real)
    tl.store(positions_ptr + b, (prompt + step).to(tl.int64), real)
    tl.store(slots_ptr + b, tl.where(active, page * PAGE + number % PAGE, 0), real)
    filled = (prompt + PAGE - 1) // PAGE * PAGE
    count = tl.load(counts_ptr + group, active, other=0)
    tl.store(lens_ptr + group, filled + count, real & (beam == 0))


def beam_inputs(state: BeamState, page_size: int) -> BeamInputs:
    """Inputs of the step that runs the newest token of every beam."""
    if not use_triton(state.done):
        return beam_inputs_ref(state, page_size)
    require_contiguous("beam_inputs", newest=state.newest, own=state.own, counts=state.counts)
    groups, width = state.newest.shape
    device = state.done.device
    outs = [torch.empty(groups * width, dtype=torch.int64, device=device) for _ in range(3)]
    lens = torch.empty(groups, dtype=torch.int32, device=device)
    _inputs_kernel[(-(-groups * width // BLOCK),)](
        state.step,
        state.done,
        state.prompt_lens,
        state.counts,
        state.newest,
        state.own,
        *outs,
        lens,
        groups,
        state.own.shape[1],
        W=width,
        PAGE=page_size,
        BLOCK=BLOCK,
    )
    return BeamInputs(ids=outs[0], positions=outs[1], slots=outs[2], lens=lens)


def beam_select_ref(state: BeamState, tokens: Tensor, logprobs: Tensor) -> None:
    """As `beam_select`, one group after the other."""
    (count, width), each = state.newest.shape, tokens.shape[1]
    tokens, logprobs = tokens.view(count, width, each), logprobs.view(count, width, each)
    shift = torch.arange(width, device=tokens.device)
    for g in torch.nonzero(state.done == 0).flatten().tolist():
        totals = state.scores[g, :, None] + logprobs[g]
        word = state.ends[tokens[g] // 32]
        totals.masked_fill_((word >> (tokens[g] % 32).int() & 1).bool(), -torch.inf)
        scores, kept = totals.flatten().sort(descending=True, stable=True)
        scores, kept = scores[:width], kept[:width]
        step = int(state.step[g])
        r = step % len(state.made)
        state.tokens[r, g], state.logprobs[r, g] = tokens[g].int(), logprobs[g]
        state.parents[r, g], state.totals[r, g] = kept.int(), scores
        lives = scores > -torch.inf
        done = bool(step + 1 >= state.limit[g]) or not bool(lives.any())
        state.newest[g], state.scores[g] = tokens[g].flatten()[kept].int(), scores
        state.made[r, g], state.ended[r, g] = step + 1, int(done)
        state.step[g], state.done[g] = step + 1, int(done)
        if done:
            continue
        known = int(state.counts[g])
        bits = (state.seen[g, :known, None].long() >> (kept // each)) & 1
        bits = ((bits * lives.long()) << shift).sum(1)  # every bit is there once
        lived = bits != 0
        number = (step + 1) * width + shift
        state.seen_tokens[g, : int(lived.sum()) + width] = torch.cat(
            (state.seen_tokens[g, :known][lived], number.int())
        )
        state.seen[g, : int(lived.sum()) + width] = torch.cat((bits[lived], 1 << shift)).to(
            state.seen.dtype
        )
        state.counts[g] = int(lived.sum()) + width


@jit
def _select_kernel(
    step_ptr,
    limit_ptr,
    done_ptr,
    counts_ptr,
    newest_ptr,
    scores_ptr,
    ends_ptr,
    seen_tokens_ptr,
    seen_ptr,
    made_ptr,
    ended_ptr,
    parents_ptr,
    totals_ptr,
    said_ptr,
    said_logprobs_ptr,
    tokens_ptr,
    logprobs_ptr,
    record,
    U,
    R: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK: tl.constexpr,
    LIST: tl.constexpr,
):
    g = tl.program_id(0).to(tl.int64)
    if tl.load(done_ptr + g) != 0:
        return
    step = tl.load(step_ptr + g)
    # records lie `record` words apart
    at = (step % R).to(tl.int64) * record
    p = tl.arange(0, BLOCK)
    real = p < W * C
    token = tl.load(tokens_ptr + g * (W * C) + p, real, other=0).to(tl.int32)
    logprob = tl.load(logprobs_ptr + g * (W * C) + p, real, other=float("-inf"))
    total = tl.load(scores_ptr + g * W + p // C, real, other=0.0) + logprob.to(tl.float64)
    ends = (tl.load(ends_ptr + token // 32, real, other=0) >> (token % 32)) & 1
    total = tl.where(ends != 0, float("-inf"), total)
    tl.store(said_ptr + at + g * (W * C) + p, token, real)
    tl.store(said_logprobs_ptr + at + g * (W * C) + p, logprob, real)

    w = tl.arange(0, BLOCK_W)
    kept, scores = tl.zeros([BLOCK_W], tl.int32), tl.full([BLOCK_W], float("-inf"), tl.float64)
    left = real
    for i in range(W):
        best = tl.max(tl.where(left, total, float("-inf")), 0)
        # among equals the first; -inf too is a total
        place = tl.min(tl.where(left & (total == best), p, BLOCK), 0)
        kept, scores = tl.where(w == i, place, kept), tl.where(w == i, best, scores)
        left = left & (p != place)
    lives = tl.max(tl.where(scores > float("-inf"), 1, 0), 0)
    done = (step + 1 >= tl.load(limit_ptr + g)) | (lives == 0)
    # every thread has read the scores before one writes them
    tl.debug_barrier()
    in_w = w < W
    tl.store(
        newest_ptr + g * W + w, tl.load(tokens_ptr + g * (W * C) + kept, in_w).to(tl.int32), in_w
    )
    tl.store(scores_ptr + g * W + w, scores, in_w)
    tl.store(parents_ptr + at + g * W + w, kept, in_w)
    tl.store(totals_ptr + at // 2 + g * W + w, scores, in_w)
    tl.store(made_ptr + at + g, step + 1)
    tl.store(ended_ptr + at + g, done.to(tl.int32))
    tl.store(step_ptr + g, step + 1)
    tl.store(done_ptr + g, done.to(tl.int32))
    if done:
        return

    # the tokens that the new beams descend from, with their bits, in place: what is written lies
    # before what is still to be read
    tl.debug_barrier()
    known, written = tl.load(counts_ptr + g), 0
    seen_tokens_ptr += g * U
    seen_ptr += g * U
    for start in range(0, known, LIST):
        n = start + tl.arange(0, LIST)
        number = tl.load(seen_tokens_ptr + n, n < known, other=0)
        bits = tl.load(seen_ptr + n, n < known, other=0)
        new = bits * 0
        for i in range(W):
            parent = (tl.load(parents_ptr + at + g * W + i) // C).to(bits.dtype)
            alive = tl.load(scores_ptr + g * W + i) > float("-inf")
            bit = (bits >> parent) & 1
            new = new | tl.where(alive, bit << i, 0)
        lived = new != 0
        to = written + tl.cumsum(lived.to(tl.int32), 0) - 1
        tl.debug_barrier()
        tl.store(seen_tokens_ptr + to, number, lived)
        tl.store(seen_ptr + to, new, lived)
        written += tl.sum(lived.to(tl.int32), 0)
    one = (w * 0 + 1).to(seen_ptr.dtype.element_ty)
    tl.store(seen_tokens_ptr + written + w, (step + 1) * W + w, in_w)
    tl.store(seen_ptr + written + w, one << w.to(seen_ptr.dtype.element_ty), in_w)
    tl.store(counts_ptr + g, written + W)


def beam_select(state: BeamState, tokens: Tensor, logprobs: Tensor) -> None:
    """Choose the beams of the next step. tokens, logprobs [G * W, C]: what the beams offer, best first.

    Groups that are done stay as they are.
    """
    if not use_triton(tokens):
        return beam_select_ref(state, tokens, logprobs)
    require_contiguous("beam_select", tokens=tokens, logprobs=logprobs, scores=state.scores)
    (groups, width), each = state.newest.shape, tokens.shape[1]
    block = next_power_of_2(width * each)
    _select_kernel[(groups,)](
        state.step,
        state.limit,
        state.done,
        state.counts,
        state.newest,
        state.scores,
        state.ends,
        state.seen_tokens,
        state.seen,
        state.made,
        state.ended,
        state.parents,
        state.totals,
        state.tokens,
        state.logprobs,
        tokens,
        logprobs,
        state.made.stride(0),
        state.seen.shape[1],
        R=len(state.made),
        W=width,
        C=each,
        BLOCK_W=next_power_of_2(width),
        BLOCK=block,
        LIST=LIST,
        num_warps=8 if block > 2048 else 4,
    )
    return None
