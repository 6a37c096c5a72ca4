import pytest
import torch
import torch.nn.functional as F
from kernel_cases import poisoned, randn

from nbllm.models.layers import Linear
from nbllm_kernels import gated_linear as module
from nbllm_kernels._around import ACTS, NUMBER
from nbllm_kernels._triton import in_gluon
from nbllm_kernels.gated_linear import fits, gated, gated_linear, gated_linear_ref, takes
from nbllm_kernels.rms_norm import rms_norm


def case(rows, size_out, size, dtype=torch.bfloat16):
    x, weight = randn(rows, size, dtype=dtype), randn(2 * size_out, size, dtype=dtype)
    return x, weight * size**-0.5


def error(got, want):
    """Largest difference, in units of the largest value."""
    return ((got.float() - want).abs().max() / want.abs().max()).item()


def wide(x, weight, act="silu"):
    return gated_linear_ref(x.float(), weight.float(), None, act)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_torch_does_it_for_few_rows_and_with_a_bias(act, rows):
    (x, weight), bias = case(rows, 24, 16, torch.float32), randn(48)
    y = x @ weight.T
    want = ACTS[act](y[:, :24]) * y[:, 24:]
    torch.testing.assert_close(gated_linear(x, weight, None, act), want, atol=1e-5, rtol=1e-4)
    y += bias
    want = ACTS[act](y[:, :24]) * y[:, 24:]
    torch.testing.assert_close(gated_linear(x, weight, bias, act), want, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gated(y, act), want, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "which"),
    [
        ((7900, 14336, 4096), True),  # 4,704 tiles in 36 rounds of 132
        ((2048, 14336, 4096), False),  # 10 rounds, of which 9.3 are of use, and 64 rows in vain
        ((7900, 3072, 1024), True),  # 8 rounds for 7.6; the product is short, its gate is not
        ((1024, 3072, 1024), False),  # 144 tiles: the second round is nearly empty
    ],
    ids=str,
)
def test_it_is_for_what_fills_its_tiles(monkeypatch, shape, which):
    monkeypatch.setattr(module, "multiprocessors", lambda x: 132)
    rows, size_out, size = shape
    x, weight = (torch.empty(n, size, device="meta") for n in (rows, 2 * size_out))
    assert fits(x, weight) == which


@pytest.fixture
def hopper():
    if not in_gluon(randn(1, 1, dtype=torch.bfloat16)):
        pytest.skip("needs a Hopper GPU")
    from nbllm_kernels._hopper_gate import hopper_gate

    def run(x, weight, act="silu"):
        y = poisoned(len(x), len(weight) // 2, dtype=x.dtype)
        hopper_gate(x, weight, NUMBER[act], y)
        return y

    return run


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("act", "dtype"), [*((a, torch.bfloat16) for a in ACTS), ("silu", torch.float16)], ids=str
)
def test_matches_reference(hopper, act, dtype):
    """More tiles than multiprocessors, parts of tiles at every end, and of stages."""
    for shape in (
        (1, 8, 8),
        (127, 100, 72),
        (193, 128, 64),
        (1600, 264, 1032),
        (2500, 1536, 1000),
        (9000, 640, 40),
    ):
        x, weight = case(*shape, dtype)
        assert error(hopper(x, weight, act), wide(x, weight, act)) < 6e-3


@pytest.mark.gpu
def test_nothing_beyond_its_rows_is_written(hopper):
    from nbllm_kernels._hopper_gate import hopper_gate

    rows, size_out, size = 1027, 264, 136
    x, weight = case(rows, size_out, size)
    around = poisoned(rows + 192, size, dtype=torch.bfloat16)
    around[:rows] = x
    out = torch.full((rows + 192, size_out), 7.0, dtype=torch.bfloat16, device=x.device)
    hopper_gate(around[:rows], weight, NUMBER["silu"], out[:rows])
    assert torch.equal(out[:rows], hopper(x, weight))
    assert bool((out[rows:] == 7.0).all())


@pytest.mark.gpu
def test_a_row_does_not_depend_on_the_others(hopper):
    x, weight = case(2048, 512, 1024)
    assert torch.equal(hopper(x[77:1101], weight), hopper(x, weight)[77:1101])


@pytest.mark.gpu
def test_it_waits_for_the_launch_before(hopper):
    """x is what a launch writes that may still run when this one begins."""
    x, weight = case(4096, 1024, 1024)
    norm, want = torch.ones_like(x[0]), x.float()
    for _ in range(4):
        x = hopper(rms_norm(x, norm, 1e-6), weight)
        want = wide(F.rms_norm(want, want.shape[1:], eps=1e-6), weight)
    assert error(x, want) < 3e-2


@pytest.mark.gpu
def test_what_it_is_not_for_is_done_by_torch(hopper):
    x, weight = case(4096, 3072, 136)
    assert takes(x, weight)
    assert fits(x, weight)
    assert not takes(x[:100], weight)
    assert not takes(x.float(), weight.float())
    assert not takes(x.half(), weight)
    assert not takes(x, randn(136, 128, dtype=torch.bfloat16).T)
    odd = randn(4096, 137, dtype=torch.bfloat16)
    assert not takes(odd[:, 1:], weight)
    assert not takes(odd, odd)
    assert error(gated_linear(x, weight, None, "silu"), wide(x, weight)) < 6e-3
    bias = randn(len(weight), dtype=torch.bfloat16)
    want = gated_linear_ref(x.float(), weight.float(), bias.float(), "silu")
    assert error(gated_linear(x, weight, bias, "silu"), want) < 2e-2
    strided = torch.cat((x, x), 1)[:, :136]
    assert error(gated_linear(strided, weight, None, "silu"), wide(x, weight)) < 6e-3


@pytest.mark.gpu
def test_a_layer_of_a_model(hopper):
    x, weight = case(4096, 3072, 1024)
    add, layer = randn(4096, 3072, dtype=torch.bfloat16), Linear(1024, 6144)
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    assert takes(x, weight)
    assert fits(x, weight)
    with torch.inference_mode():
        got = layer(x, act="silu", gate=True)
        assert torch.equal(got, hopper(x, weight))
        assert torch.equal(layer(x, act="silu", gate=True, add=add), add + got)
