"""Beam searches on the device: the kernels do what their references do, step after step."""

import pytest
import torch
from kernel_cases import DEVICE, PAGE

from nbllm_kernels.beam_steps import (
    BeamShape,
    beam_inputs,
    beam_inputs_ref,
    beam_select,
    beam_select_ref,
)
from nbllm_kernels.tree_attention import Tree

VOCAB = 1000


def shape_of(groups: int, width: int, steps: int, records: int = 4) -> BeamShape:
    return BeamShape(
        groups=groups,
        width=width,
        candidates=2 * width,
        steps=steps,
        prompt_pages=3,
        vocab=VOCAB,
        records=records,
        page_size=PAGE,
    )


def begun(shape: BeamShape, limits: list[int], ends=()) -> torch.Tensor:
    """Words of searches before their first step; those with limit 0 are done."""
    words = torch.zeros(shape.num_words, dtype=torch.int32)
    state, width = shape.state(words), shape.width
    state.limit.copy_(torch.tensor(limits))
    state.done.copy_(state.limit == 0)
    state.prompt_lens.copy_(torch.randint(0, 3 * PAGE, (shape.groups,)))
    state.counts.fill_(width)
    state.newest.copy_(torch.randint(0, VOCAB, (shape.groups, 1)))
    state.scores.fill_(-torch.inf)
    state.scores[:, 0] = 0.0
    state.own.copy_(torch.randperm(state.own.numel()).view_as(state.own) + 1)
    for token in ends:
        state.ends[token // 32] |= torch.tensor(1 << token % 32).int()
    state.seen_tokens[:, :width] = torch.arange(width)
    state.seen[:, :width] = (1 << torch.arange(width)).to(state.seen.dtype)
    return words.to(DEVICE)


def offers(shape: BeamShape, step: int, ties: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Random candidates, best first; with ties many scores are equal, of beams and of tokens."""
    rows = shape.groups * shape.width
    x = torch.randn(rows, VOCAB, generator=torch.Generator().manual_seed(step))
    x = (x.round() if ties else x) - 8.0
    values, tokens = x.sort(dim=-1, descending=True, stable=True)
    first = slice(shape.candidates)
    return tokens[:, first].contiguous().to(DEVICE), values[:, first].contiguous().to(DEVICE)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("width", "limits", "steps"),
    [
        (1, [3, 9], 12),
        (5, [7, 0, 12], 12),
        (8, [40, 33], 40),
        (32, [6, 5], 6),
        (33, [3], 3),
        (64, [3, 2], 3),
    ],
)
def test_step_after_step(width, limits, steps, ties):
    shape = shape_of(len(limits), width, steps)
    words = begun(shape, limits, ends=range(0, VOCAB, 7))
    want = words.clone()
    mine, other = shape.state(words), shape.state(want)
    for step in range(max(limits) + 1):
        got, expected = beam_inputs(mine, PAGE), beam_inputs_ref(other, PAGE)
        active = other.done == 0
        for name in ("ids", "slots", "lens", "positions"):
            a, b = getattr(got, name), getattr(expected, name)
            if name == "positions":  # of the others nobody asks
                a, b = (x.view(-1, width)[active] for x in (a, b))
            assert torch.equal(a, b), name
        candidates = offers(shape, step, ties)
        beam_select(mine, *candidates)
        beam_select_ref(other, *candidates)
        for g in range(len(limits)):  # beyond, the lists hold what was there before
            for table in (mine, other):
                table.seen_tokens[g, table.counts[g] :] = 0
                table.seen[g, table.counts[g] :] = 0
        assert torch.equal(words, want), f"step {step}"
    assert mine.step.tolist() == limits


def test_the_lists_are_those_of_the_ancestors():
    """What is kept from step to step, and what the parents of all steps say."""
    shape = shape_of(2, 6, 30, records=30)
    words = begun(shape, [30, 30])
    state = shape.state(words)
    table = torch.arange(6).repeat(2, 1)[:, :, None]
    for step in range(29):
        beam_select(state, *offers(shape, step, ties=False))
        parents = state.parents[step].cpu().long() // shape.candidates
        history = table.gather(1, parents[:, :, None].expand_as(table))
        table = torch.cat((history, torch.arange(6).repeat(2, 1)[:, :, None]), 2)
        pages, lens, own = (x.cpu() for x in (state.pages, state.prompt_lens, state.own))
        want = Tree.of_ancestors(pages, lens, own, table, PAGE)
        assert torch.equal(state.counts.cpu(), want.counts)
        for g, count in enumerate(want.counts.tolist()):
            assert torch.equal(state.seen_tokens[g, :count].cpu(), want.tokens[g, :count])
            assert torch.equal(state.seen[g, :count].cpu(), want.seen[g, :count])
        assert torch.equal(state.tree(beam_inputs(state, PAGE).lens).lens.cpu(), want.lens)


def test_a_search_without_beams_is_done():
    """Where every candidate ends a sequence nobody lives on."""
    shape = shape_of(2, 3, 8)
    words = begun(shape, [8, 8], ends=range(VOCAB))
    state = shape.state(words)
    beam_select(state, *offers(shape, 0, ties=False))
    assert state.done.tolist() == [1, 1]
    assert state.step.tolist() == [1, 1]
    assert state.ended[0].tolist() == [1, 1]
    assert (state.totals[0] == -torch.inf).all()
    assert (state.tokens[0, 0, 0].cpu() == offers(shape, 0, False)[0][0].int().cpu()).all()
    before = words.clone()
    beam_select(state, *offers(shape, 1, ties=False))
    assert torch.equal(words, before)
