import pytest
import torch
from kernel_cases import DTYPES, check, randn

from nbllm_kernels.layer_norm import (
    add_layer_norm,
    add_layer_norm_ref,
    layer_norm,
    layer_norm_ref,
)

SHAPES = [(1, 64), (1, 768), (3, 100), (63, 128), (100, 63), (1000, 1), (2, 3, 96)]


def of(shape, dtype, shift=True):
    bias = randn(shape[-1], dtype=dtype) if shift else None
    return randn(*shape, dtype=dtype) + 3, randn(shape[-1], dtype=dtype), bias


@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_norm(shape, shift, dtype):
    x, weight, bias = of(shape, dtype, shift)
    check(layer_norm(x, weight, bias, 1e-5), layer_norm_ref(x, weight, bias, 1e-5))


@pytest.mark.parametrize("parts", [None, 1, 2, 5])
@pytest.mark.parametrize("shape", SHAPES[:-1], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_add(parts, shape, dtype):
    residual, weight, bias = of(shape, dtype)
    x = randn(*shape, dtype=dtype) if parts is None else randn(parts, *shape)
    want, total = add_layer_norm_ref(x, residual, weight, bias, 1e-5)
    got, got_total = add_layer_norm(x, residual, weight, bias, 1e-5)
    check(got_total, total)
    check(got, want)


def test_first_layer_has_no_residual():
    x, weight, bias = of((3, 100), torch.float32)
    got, residual = add_layer_norm(x, None, weight, bias, 1e-5)
    check(got, layer_norm_ref(x, weight, bias, 1e-5))
    assert residual is x


def test_no_rows():
    assert layer_norm(randn(0, 64), randn(64), None, 1e-5).shape == (0, 64)


def test_strided_input_is_refused():
    with pytest.raises(ValueError, match=r"x must be contiguous, got shape \(4, 4\)"):
        layer_norm(randn(4, 8)[:, ::2], randn(4), None, 1e-5)
