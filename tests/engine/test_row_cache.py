"""Rows side by side hold what their pages hold, whoever comes and goes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nbllm import LLM, SamplingParams
from nbllm.engine.row_cache import RowCache
from nbllm.engine.rows import Rows
from nbllm.engine.runner import Runner
from nbllm.models.batch import PAGE_SIZE

LAYERS, HEADS, DIM, PAGES = 2, 2, 4, 3


def setting(max_rows: int = 6, max_bytes: int = 1 << 20) -> tuple[RowCache, Rows]:
    """A cache of random pages, PAGES of them a row."""
    rows = Rows(max_rows, PAGES)
    kv = torch.randn(1 + max_rows * PAGES, LAYERS, 2, HEADS, PAGE_SIZE, DIM)
    rows.pages[:] = 1 + np.arange(max_rows * PAGES).reshape(max_rows, PAGES)
    rows.limit[:] = PAGES * PAGE_SIZE
    return RowCache(kv, rows, max_bytes), rows


def in_pages(cache: RowCache, row: int, length: int) -> torch.Tensor:
    """[layers, 2, K, length, D] of a row."""
    pages = cache.kv[torch.from_numpy(cache.rows.pages[row])]
    return pages.permute(1, 2, 3, 0, 4, 5).flatten(3, 4)[:, :, :, :length]


def write(cache: RowCache, order: np.ndarray, index: np.ndarray) -> None:
    """A step: the newest token of each row comes to its page and to its place."""
    for place, i in enumerate(order):
        row = index[i]
        at = cache.rows.length[row] - 1
        new = torch.randn(LAYERS, 2, HEADS, DIM)
        cache.kv[cache.rows.pages[row, at // PAGE_SIZE], :, :, :, at % PAGE_SIZE] = new
        cache.side[:, :, place, :, at] = new
    cache.written(len(order))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_places_follow_the_pages(data):
    cache, rows = setting()
    for number in range(data.draw(st.integers(1, 12))):
        chosen = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True))
        index = np.array(chosen)
        for row in chosen:
            if rows.placement[row] == 0 or data.draw(st.booleans()):  # another request
                rows.placement[row] = 1 + 10 * number + row
                rows.length[row] = data.draw(st.integers(1, 150))
        order = cache.arrange(index)
        assert sorted(order) == list(range(len(index)))
        for place, i in enumerate(order):
            length = rows.length[index[i]] - 1
            mine = cache.side[:, :, place, :, :length]
            assert torch.equal(mine, in_pages(cache, index[i], length))
        write(cache, order, index)
        rows.length[index] += 1


def test_a_row_stays_where_it_is_and_is_not_copied_again(monkeypatch):
    cache, rows = setting()
    rows.placement[:], rows.length[:] = np.arange(1, 7), 70
    index, filled = np.arange(6), []
    monkeypatch.setattr(cache, "_fill", lambda *a, f=cache._fill: (filled.append(a), f(*a)))
    write(cache, cache.arrange(index), index)
    assert len(filled) == 6
    rows.length += 1
    assert cache.arrange(index).tolist() == list(range(6))
    assert cache.arrange(index).tolist() == list(range(6))  # a step that was interrupted, again
    assert len(filled) == 6
    # the last takes the place of one that has ended, from its own place
    assert cache.arrange(np.array([0, 1, 3, 4, 5])).tolist() == [0, 1, 4, 2, 3]
    assert [a[1:] for a in filled[6:]] == [(5, 5)]


def test_without_room_the_pages_are_read():
    cache, rows = setting(max_bytes=1000)
    rows.placement[:], rows.length[:] = 1, 5
    assert cache.arrange(np.arange(2)) is None
    assert cache.side is None


def test_tokens_do_not_depend_on_it(monkeypatch):
    params = [SamplingParams(temperature=0, max_tokens=n, ignore_eos=True) for n in (5, 60, 20, 40)]
    prompts = ["Once upon a time", "The capital of France is", "A", "One two three"]
    tokens = []
    with LLM("tiny") as llm:
        if type(llm.engine.runner) is not Runner:
            pytest.skip("a GPU reads pages")
        used, arrange = [], RowCache.arrange
        monkeypatch.setattr(RowCache, "arrange", lambda *a: used.append(a) or arrange(*a))
        for cache in (llm.engine.runner.row_cache, None):
            llm.engine.runner.row_cache = cache
            outputs = llm.generate(prompts, params, use_tqdm=False)
            tokens.append([o.outputs[0].token_ids for o in outputs])
            assert cache is None or (used and cache.side is None)  # nobody decodes any more
    assert tokens[0] == tokens[1]
