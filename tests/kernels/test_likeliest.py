"""The likeliest tokens: as a full sort gives them, ties by token id."""

import pytest
import torch

from nbllm_kernels.likeliest import likeliest


def sorted_whole(logits, k, allowed=None):
    logprobs = logits.log_softmax(-1)
    if allowed is not None:
        logprobs = logprobs.masked_fill(~allowed, -torch.inf)
    values, ids = logprobs.sort(dim=-1, descending=True, stable=True)
    return values[:, :k], ids[:, :k]


@pytest.mark.parametrize("k", [1, 2, 63, 100, 1000])
def test_against_a_sort(k):
    x = torch.randn(7, 1000, generator=torch.Generator().manual_seed(k))
    x[3] = x[3].round()  # full of ties
    values, ids, ranks = likeliest(x, k)
    want, order = sorted_whole(x, k)
    assert torch.equal(ids, order)
    assert torch.equal(values, want)
    assert ranks is None


def test_masked_tokens_are_never_there_and_keep_their_share():
    x = torch.randn(5, 100, generator=torch.Generator().manual_seed(0))
    allowed = torch.zeros(5, 100, dtype=torch.bool)
    allowed[:, 10:20] = True
    allowed[4] = False
    values, ids, ranks = likeliest(x, 12, allowed)
    want, order = sorted_whole(x, 12, allowed)
    assert torch.equal(ids[:4, :10], order[:4, :10])
    assert torch.equal(values, want)
    assert (values[:4, 10:] == -torch.inf).all()
    assert (values[4] == -torch.inf).all()
    for row in range(4):
        for j in range(10):
            assert ranks[row, j] == (x[row] >= x[row, ids[row, j]]).sum()
