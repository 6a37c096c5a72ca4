import pytest
from kernel_cases import DTYPES, check, poisoned, randn

from nbllm_kernels.silu_mul import silu_mul, silu_mul_ref


@pytest.mark.parametrize("shape", [(1, 1), (1, 4096), (63, 100), (100, 63), (7, 1000)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_matches_reference(shape, dtype):
    tokens, size = shape
    gate_up = randn(tokens, 2 * size, dtype=dtype)
    got = silu_mul(gate_up, out=poisoned(tokens, size, dtype=dtype))
    check(got, silu_mul_ref(gate_up.float()).to(dtype))


def test_strided_input_is_refused():
    with pytest.raises(ValueError, match="gate_up must be contiguous"):
        silu_mul(randn(4, 16)[:, :8])
