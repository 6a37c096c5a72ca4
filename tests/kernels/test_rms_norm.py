import pytest
import torch
from kernel_cases import DTYPES, check, poisoned, randn

from nbllm_kernels.rms_norm import add_rms_norm, add_rms_norm_ref, rms_norm, rms_norm_ref

SHAPES = [(1, 64), (1, 4096), (3, 100), (63, 128), (100, 63), (1000, 1), (2, 3, 96)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_norm(shape, dtype):
    x, weight = randn(*shape, dtype=dtype), randn(shape[-1], dtype=dtype)
    got = rms_norm(x, weight, 1e-6, out=poisoned(*shape, dtype=dtype))
    check(got, rms_norm_ref(x, weight, 1e-6))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_add(shape, dtype):
    x, residual = randn(*shape, dtype=dtype), randn(*shape, dtype=dtype)
    weight = randn(shape[-1], dtype=dtype)
    outs = [poisoned(*shape, dtype=dtype) for _ in range(2)]
    want, total = add_rms_norm_ref(x, residual, weight, 1e-5)
    got, got_total = add_rms_norm(x, residual, weight, 1e-5, *outs)
    check(got, want)
    torch.testing.assert_close(got_total, total, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights_that_are_distances_from_one(dtype):
    x, residual = randn(5, 100, dtype=dtype), randn(5, 100, dtype=dtype)
    weight = randn(100, dtype=dtype) / 8
    want = rms_norm_ref(x, weight.float() + 1, 1e-6)
    check(rms_norm(x, weight, 1e-6, offset=1.0), want)
    want, _ = add_rms_norm_ref(x, residual, weight.float() + 1, 1e-6)
    check(add_rms_norm(x, residual, weight, 1e-6, offset=1.0)[0], want)


@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_add_of_parts(parts, dtype):
    x, residual, weight = randn(parts, 7, 100), randn(7, 100, dtype=dtype), randn(100, dtype=dtype)
    outs = [poisoned(7, 100, dtype=dtype) for _ in range(2)]
    want, total = add_rms_norm_ref(x, residual, weight, 1e-5)
    check(total, (x.sum(0) + residual).to(dtype))
    got, got_total = add_rms_norm(x, residual, weight, 1e-5, *outs)
    check(got_total, total)
    check(got, want)


def test_in_place():
    x, residual, weight = randn(5, 100), randn(5, 100), randn(100)
    want, total = add_rms_norm_ref(x, residual, weight, 1e-5)
    add_rms_norm(x, residual, weight, 1e-5, out=x, residual_out=residual)
    check(x, want)
    check(residual, total)
    again = rms_norm_ref(x, weight, 1e-5)
    check(rms_norm(x, weight, 1e-5, out=x), again)


def test_first_layer_has_no_residual():
    x, weight = randn(3, 100), randn(100)
    got, residual = add_rms_norm(x, None, weight, 1e-5)
    check(got, rms_norm_ref(x, weight, 1e-5))
    assert residual is x


def test_no_rows():
    assert rms_norm(randn(0, 64), randn(64), 1e-5).shape == (0, 64)


def test_strided_input_is_refused():
    with pytest.raises(ValueError, match=r"x must be contiguous, got shape \(4, 4\)"):
        rms_norm(randn(4, 8)[:, ::2], randn(4), 1e-5)
