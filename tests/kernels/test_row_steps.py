from dataclasses import asdict

import pytest
import torch
from kernel_cases import DEVICE, ints

from nbllm_kernels.row_steps import (
    RowState,
    advance,
    advance_ref,
    apply_diffs,
    apply_diffs_ref,
    step_inputs,
    step_inputs_ref,
)


def state(rows=40, vocabulary=100, stops=3):
    def some(low, high, *shape):
        return torch.randint(low, high, shape or (rows,), device=DEVICE)

    return RowState(
        last=some(0, vocabulary),
        length=some(1, 300),
        limit=some(150, 400),
        done=some(0, 2).int(),
        stop_ids=some(-1, 20, stops, rows),
        pages=some(1, 1000, rows, 6).int(),
        history=some(0, vocabulary, rows, 290).int(),
        counts=some(0, 5, rows, vocabulary).int(),
    )


def copy(state, without=()):
    fields = {k: None if k in without else v.clone() for k, v in asdict(state).items()}
    return RowState(**fields)


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("count", [1, 63, 1000])
def test_diffs(count, pinned):
    """From the device's memory, or the host's."""
    words = torch.randint(0, 100, (5000,), device=DEVICE).int()
    want = words.clone()
    at, values = torch.randperm(5000)[:count].int(), torch.randint(-(2**31), 2**31 - 1, (count,))
    at[::7] = -1
    at, values = at.to(DEVICE), values.int().to(DEVICE)
    apply_diffs_ref(want, at, values)
    if pinned and DEVICE == "cuda":
        at, values = at.cpu().pin_memory(), values.cpu().pin_memory()
    apply_diffs(words, at, values)
    assert torch.equal(words, want)


def test_diffs_of_other_types():
    """A float32 and an int64 arrive as the words that they are."""
    words = torch.zeros(8, dtype=torch.int32, device=DEVICE)
    real, wide = words[:2].view(torch.float32), words[4:].view(torch.int64)
    values = torch.cat(
        (torch.tensor([0.7]).view(torch.int32), torch.tensor([-5]).view(torch.int32))
    )
    apply_diffs(words, ints([1, 6, 7], torch.int32), values.to(DEVICE))
    assert real.tolist() == pytest.approx([0, 0.7])
    assert wide.tolist() == [0, -5]


ORDERS = [[0], [3, -1, 7], list(range(39, -1, -1)) + [-1] * 23]


@pytest.mark.parametrize("order", ORDERS, ids=len)
def test_inputs(order):
    mine, rows = state(), ints(order, torch.int32)
    got, want = step_inputs(mine, rows, 64), step_inputs_ref(mine, rows, 64)
    for name, value in asdict(want).items():
        assert getattr(got, name).tolist() == value.tolist(), name


def test_inputs_of_one_row():
    mine = state()
    mine.done.zero_()
    mine.length[5], mine.last[5], mine.pages[5, 2] = 130, 42, 17
    got = step_inputs(mine, ints([5, -1]), 64)
    assert [t.tolist() for t in (got.ids, got.positions, got.slots, got.kv_lens)] == [
        [42, 0],
        [129, 0],
        [17 * 64 + 1, 0],
        [130, 0],
    ]


@pytest.mark.parametrize("order", ORDERS, ids=len)
@pytest.mark.parametrize("without", [(), ("history", "counts")], ids=str)
def test_advance(order, without):
    whole, rows = state(), ints(order, torch.int32)
    mine, other = copy(whole, without), copy(whole, without)
    tokens = torch.randint(0, 20, (len(order),), device=DEVICE)
    appended = torch.full((len(order),), 77, dtype=torch.int32, device=DEVICE)
    assert advance(mine, rows, tokens, appended) is appended
    assert appended.tolist() == advance_ref(other, rows, tokens).tolist()
    for name, value in asdict(other).items():
        if value is not None:
            assert getattr(mine, name).tolist() == value.tolist(), name


def test_ends():
    """At the limit, and after a stop id; then nothing is appended any more."""
    mine = state(rows=3, stops=1)
    mine.done.zero_()
    mine.length.copy_(ints([8, 8, 8]))
    mine.limit.copy_(ints([9, 20, 20]))
    mine.stop_ids.copy_(ints([[-1, 6, 7]]))
    rows = ints([0, 1, 2])
    assert advance(mine, rows, ints([6, 6, 6])).tolist() == [6, 6, 6]
    assert mine.done.tolist() == [1, 1, 0]
    assert advance(mine, rows, ints([9, 9, 9])).tolist() == [-1, -1, 9]
    assert mine.length.tolist() == [9, 9, 10]
