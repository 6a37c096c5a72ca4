import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import ints

from nbllm_kernels.work_list import PART, decode_work, prefill_work, work_list_ref

LENGTHS = st.lists(st.integers(0, 5000), min_size=1, max_size=20)


def items(work):
    """(row, first token, last + 1, the row's items) of each item."""
    real = [i for i in work.items.tolist() if i[0] >= 0]
    assert len(real) == int(work.starts[-1])
    assert all(i[0] >= 0 for i in work.items[: len(real)].tolist())
    # every one has a number of its own, in a row for each row
    slots = [int(work.starts[i[0]]) + i[3] // PART for i in real]
    assert sorted(slots) == list(range(len(real)))
    return [(*i[:3], i[3] % PART) for i in real]


def same(work, want, ordered=False):
    assert work.starts.tolist() == want.starts.tolist()
    if ordered:  # rows with as much left are in any order
        assert sorted(items(work)) == sorted(items(want))
        assert pages(work) == pages(want)
    else:
        assert items(work) == items(want)


def pages(work):
    """How many each item has."""
    return [-(-(stop - start) // 64) for _, start, stop, _ in items(work)]


@given(
    lengths=LENGTHS,
    target=st.integers(1, 100),
    window=st.sampled_from([0, 1, 100]),
    ordered=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_every_token_is_in_one_item(lengths, target, window, ordered):
    work = decode_work(ints(lengths), 64, 2, target, window, ordered=ordered)
    firsts = [max(0, n - window) // 64 * 64 if window else 0 for n in lengths]
    want = ints(firsts), ints(lengths), 64, target, 1, work.capacity, 1, ordered
    same(work, work_list_ref(*want), ordered)
    if ordered:
        assert pages(work) == sorted(pages(work), reverse=True)
    for row, (first, length) in enumerate(zip(firsts, lengths, strict=True)):
        mine = sorted(i for i in items(work) if i[0] == row)
        assert all(parts == len(mine) for *_, parts in mine)
        assert mine  # for a row without tokens, an empty item
        edges = [first] + [stop for _, _, stop, _ in mine]
        assert [start for _, start, _, _ in mine] == edges[:-1]
        assert edges[-1] == (length if length else first)
        assert all(edge % 64 == 0 for edge in edges[:-1])


@pytest.mark.parametrize("new", [[1], [63, 0, 100], [1000, 1, 1, 0, 64]])
def test_tiles_of_new_tokens(new):
    starts = torch.tensor([0, *new]).cumsum(0)
    work = prefill_work(ints(starts.tolist()), sum(new), 64)
    assert items(work) == [
        (row, at, min(at + 64, n), -(-n // 64))
        for row, n in enumerate(new)
        for at in range(0, n, 64)
    ]


@pytest.mark.parametrize("ordered", [False, True])
def test_many_rows(ordered):
    lengths = ints([(37 * i) % 1000 for i in range(512)])
    work = decode_work(lengths, 64, 8, 264, ordered=ordered)
    same(work, work_list_ref(0 * lengths, lengths, 64, 264, 1, work.capacity, 1, ordered), ordered)
    assert work.arrivals.shape == (512, 8)
