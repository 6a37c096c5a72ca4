import pytest
import torch
from kernel_cases import DTYPES, check, poisoned, randn

from nbllm_kernels.gelu_mul import gelu_mul, gelu_mul_ref


@pytest.mark.parametrize("shape", [(1, 1), (1, 63), (3, 1000), (100, 96), (2, 3, 1025)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_matches_reference(shape, dtype):
    *rows, size = shape
    x = randn(*rows, 2 * size, dtype=dtype) * 3
    got = gelu_mul(x, out=poisoned(*shape, dtype=dtype))
    check(got, gelu_mul_ref(x.float()).to(dtype))


def test_large_gates_stay_finite():
    got = gelu_mul(torch.tensor([[-1e4, 1e4, 1.0, 2.0]], device=randn(1).device))
    assert got.tolist() == [[0.0, 2e4]]
