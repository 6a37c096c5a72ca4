import pytest
import torch
from kernel_cases import DEVICE, DTYPES, check, ints, poisoned, randn

from nbllm_kernels.process_logits import (
    EarlyStops,
    Listed,
    Penalties,
    process_logits,
    process_logits_ref,
)

ROWS = 6


def groups(vocabulary):
    """One of each, for ROWS rows."""
    counts = torch.randint(-6, 7, (ROWS, vocabulary), device=DEVICE).clamp(min=0).int()
    strengths = [torch.rand(ROWS, device=DEVICE) + 0.6 for _ in range(3)]
    named = torch.stack([torch.randperm(vocabulary)[:7] for _ in range(ROWS)])
    named = torch.nn.functional.pad(named, (0, 7 - named.shape[1] + 2), value=-1)
    return {
        "penalties": Penalties(
            counts=counts, repetition=strengths[0], presence=strengths[1], frequency=strengths[2]
        ),
        "listed": Listed(
            ids=named.int().to(DEVICE),
            bias=5 * randn(*named.shape),
            only=ints([0, 1, 0, 1, 0, 1], torch.int32),
        ),
        "stops": EarlyStops(
            ids=ints([[0] * ROWS, [vocabulary - 1] * ROWS, [-1] * ROWS]),
            length=ints([5] * ROWS),
            min_length=ints([0, 5, 6, 100, 5, 6]),
        ),
        "bitmask": torch.randint(
            -(2**31), 2**31 - 1, (ROWS, -(-vocabulary // 32)), device=DEVICE
        ).int(),
    }


@pytest.mark.parametrize("names", ["penalties", "listed", "stops", "bitmask", "", "all"])
@pytest.mark.parametrize("vocabulary", [1, 63, 100, 9000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_matches_reference(names, vocabulary, dtype):
    given = groups(vocabulary)
    given = {n: g for n, g in given.items() if n == names or names == "all"}
    logits, rows = 3 * randn(3, vocabulary, dtype=dtype), ints([4, 2, 5])
    got = process_logits(logits, rows, out=poisoned(3, vocabulary), **given)
    check(got, process_logits_ref(logits, rows, **given))


def test_allowed_ids_only():
    listed = Listed(
        ids=ints([[3, 70, -1]], torch.int32), bias=randn(1, 3), only=ints([1], torch.int32)
    )
    got = process_logits(randn(1, 100), ints([0]), listed=listed)
    assert got.isfinite().nonzero()[:, 1].tolist() == [3, 70]


def test_repetition_raises_nothing():
    """A penalty over 1 lowers both positive and negative logits of what has been seen."""
    ones, zeros = torch.ones(1, device=DEVICE), torch.zeros(1, device=DEVICE)
    counts = ints([[1, 2, 0]], torch.int32)
    penalties = Penalties(counts=counts, repetition=2 * ones, presence=zeros, frequency=zeros)
    logits = torch.tensor([[4.0, -4.0, 4.0]], device=DEVICE)
    assert process_logits(logits, ints([0]), penalties).tolist() == [[2.0, -8.0, 4.0]]
