import pytest
import torch
from kernel_cases import DEVICE, DTYPES, check, poisoned, randn

from nbllm_kernels.soft_cap import soft_cap, soft_cap_ref


@pytest.mark.parametrize("shape", [(1,), (63,), (3, 1000), (2, 3, 1025)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_matches_reference(shape, dtype):
    x = randn(*shape, dtype=dtype) * 20
    check(soft_cap(x, 30.0, out=poisoned(*shape, dtype=dtype)), soft_cap_ref(x, 30.0))


@pytest.mark.parametrize("cap", [5.0, 30.0, 50.0])
def test_as_exact_as_float32_allows(cap):
    x = torch.linspace(-4 * cap, 4 * cap, 10001, device=DEVICE)
    want = cap * torch.tanh(x.double() / cap)
    for f in (soft_cap, soft_cap_ref):
        assert (f(x, cap).double() - want).abs().max() < 1e-6 * cap


@pytest.mark.parametrize("cap", [30.0, 50.0])
def test_what_is_small_keeps_its_digits(cap):
    x = torch.logspace(-6, 1, 1001, device=DEVICE)
    want = cap * torch.tanh(x.double() / cap)
    for f in (soft_cap, soft_cap_ref):
        assert ((f(x, cap).double() - want) / want).abs().max() < 2e-6


def test_in_place_and_bounded():
    x = torch.tensor([-1e30, -1e4, 0.0, 1e4, 1e30], device=DEVICE)
    assert soft_cap(x, 30.0, out=x) is x
    assert x.tolist() == [-30.0, -30.0, 0.0, 30.0, 30.0]
