"""What the tests of kernels share: device, types, tolerances, poisoned outputs, a random cache."""

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [
    torch.float32,
    *(pytest.param(t, marks=pytest.mark.gpu) for t in (torch.bfloat16, torch.float16)),
]
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}
PAGE = 64


def randn(*shape, dtype=torch.float32):
    return torch.randn(*shape, device=DEVICE).to(dtype)


def poisoned(*shape, dtype=torch.float32):
    """Memory for an output, which stays NaN where a kernel does not write."""
    return torch.full(shape, torch.nan, device=DEVICE, dtype=dtype)


def ints(values, dtype=torch.int64):
    return torch.tensor(values, dtype=dtype, device=DEVICE)


def check(got, want):
    """Equal to the tolerance of the type; NaN never is."""
    tolerance = TOLERANCE[want.dtype]
    torch.testing.assert_close(got, want, atol=tolerance, rtol=tolerance)


def paged(lengths, layers=2, heads=2, dim=64, dtype=torch.float32, spare=2):
    """A cache whose rows of `lengths` own scattered pages, NaN where no token is: (kv, pages)."""
    counts = [-(-n // PAGE) for n in lengths]
    total = 1 + sum(counts)
    order = (torch.randperm(total - 1) + 1).tolist()
    kv = poisoned(total, layers, 2, heads, PAGE, dim, dtype=dtype)
    kv[0] = 0
    pages = torch.zeros(len(lengths), max(counts) + spare, dtype=torch.int32)
    for row, length in enumerate(lengths):
        for i in range(counts[row]):
            pages[row, i] = page = order.pop()
            here = min(PAGE, length - i * PAGE)
            kv[page, ..., :here, :] = randn(layers, 2, heads, here, dim, dtype=dtype)
    return kv, pages.to(DEVICE)
