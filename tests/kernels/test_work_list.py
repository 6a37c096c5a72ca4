import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import ints

from nbllm_kernels.work_list import cache_spans, decode_work, prefill_work, work_list_ref

LENGTHS = st.lists(st.integers(0, 5000), min_size=1, max_size=20)


def items(work):
    """(row, part) of each item."""
    starts, rows = work.starts.tolist(), work.rows.tolist()
    return [(row, i - starts[row]) for i, row in enumerate(rows[: starts[-1]])]


@given(lengths=LENGTHS, target=st.integers(1, 100), window=st.sampled_from([0, 1, 100]))
@settings(max_examples=20, deadline=None)
def test_every_page_is_in_one_item(lengths, target, window):
    work = decode_work(ints(lengths), 64, target, window)
    spans = cache_spans(ints(lengths), 64, window)
    want = work_list_ref(spans, target, 1, work.capacity)
    size = int(work.size)
    assert size == int(want.size)
    assert work.starts.tolist() == want.starts.tolist()
    assert items(work) == items(want)
    assert items(work) == [
        (row, part) for row, n in enumerate(spans.tolist()) for part in range(-(-n // size))
    ]
    assert len(items(work)) <= work.capacity


@pytest.mark.parametrize("new", [[1], [63, 0, 100], [1000, 1, 1, 0, 64]])
def test_tiles_of_new_tokens(new):
    starts = torch.tensor([0, *new]).cumsum(0)
    work = prefill_work(ints(starts.tolist()), sum(new), 64)
    tiles = [(row, part) for row, n in enumerate(new) for part in range(-(-n // 64))]
    assert items(work) == tiles
    assert work.least == int(work.size) == 64


def test_many_rows():
    lengths = [(37 * i) % 1000 for i in range(512)]
    work = decode_work(ints(lengths), 64, 264)
    want = work_list_ref(cache_spans(ints(lengths), 64, 0), 264, 1, work.capacity)
    assert items(work) == items(want)
