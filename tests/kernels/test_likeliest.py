"""The likeliest tokens: as a full sort gives them, ties by token id."""

import pytest
import torch
from kernel_cases import DEVICE, DTYPES, randn

from nbllm_kernels.likeliest import MAX_K, STRETCH, likeliest, likeliest_ref


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
    values, ids, ranks = likeliest_ref(x, k)
    want, order = sorted_whole(x, k)
    assert torch.equal(ids, order)
    assert torch.equal(values, want)
    assert ranks is None


def check(x, k, temperature=None):
    values, ids, ranks = likeliest(x, k, temperature=temperature)
    want, order, _ = likeliest_ref(x, k, temperature=temperature)
    torch.testing.assert_close(values, want, atol=2e-6, rtol=2e-6)
    differ = ids != order
    # two whose log-probabilities a sum rounded differently makes equal, or not
    assert differ.sum() <= 2
    assert torch.equal(ids.sort(1)[0], order.sort(1)[0])
    assert ranks is None


@pytest.mark.parametrize("k", [1, 10, 40, MAX_K + 1])
@pytest.mark.parametrize("size", [150, STRETCH + 1000])
def test_the_kernel(k, size):
    check(randn(3, size), k)


@pytest.mark.parametrize("k", [1, 16])
def test_ties_go_by_id(k):
    x = randn(6, STRETCH + 700).round()
    x[0] = 0.0
    x[1, ::2] = -0.0
    x[2, :20] = 50.0  # the largest are neighbours
    x[3] = -torch.inf
    x[3, 4000::4] = 1.0
    x[4, 100:] = 7.5
    values, ids, _ = likeliest(x, k)
    want, order, _ = likeliest_ref(x, k)
    assert torch.equal(ids, order)
    torch.testing.assert_close(values, want, atol=2e-6, rtol=2e-6)


def test_temperatures():
    check(randn(4, 5000), 12, torch.tensor([0.5, 1.0, 1.7, 1e-3], device=DEVICE))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("k", [10, 16, 128])
def test_a_whole_vocabulary(dtype, k):
    """Half precision is full of ties."""
    x = (randn(40, 151936) * 3).to(dtype)
    if dtype == torch.float32:
        return check(x, k)
    got, want = likeliest(x, k), likeliest_ref(x, k)
    assert torch.equal(got[1], want[1])
    return torch.testing.assert_close(got[0], want[0], atol=3e-6, rtol=3e-6)


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
    assert ranks is not None
    for row in range(4):
        for j in range(10):
            assert ranks[row, j] == (x[row] >= x[row, ids[row, j]]).sum()
