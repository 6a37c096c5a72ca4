import pytest
import torch
from kernel_cases import DEVICE, ints

from nbllm_kernels._triton import jit, tl
from nbllm_kernels.gumbel import gumbel, gumbel_bound, gumbel_ref, mix, mix_tile, stream_of

SEEDS = [0, 1, -1, 12345, (1 << 63) - 1, -(1 << 63)]


@jit
def _mix_kernel(z_ptr, out_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(out_ptr + at, mix_tile(tl.load(z_ptr + at)))


def test_the_very_same_bits():
    z = torch.randint(-(2**63), 2**63 - 1, (1024,), device=DEVICE)
    out = torch.empty_like(z)
    _mix_kernel[(1,)](z, out, N=1024)
    assert torch.equal(out, mix(z))


@pytest.mark.parametrize("count", [1, 63, 100, 1000])
def test_noise(count):
    seeds, positions = ints(SEEDS), ints([0, 1, 63, 1000, 131071, 7])
    ids = torch.arange(count, device=DEVICE) * 151
    got, want = gumbel(seeds, positions, ids), gumbel_ref(seeds, positions, ids)
    # two logarithms of float32, each to about one unit in the last place
    torch.testing.assert_close(got, want, atol=2e-6, rtol=1e-6)


def test_ids_of_each_row():
    seeds, positions = ints([3, 4]), ints([5, 5])
    ids = ints([[9, 1, 70000], [2, 9, 0]])
    got = gumbel(seeds, positions, ids)
    torch.testing.assert_close(got, gumbel_ref(seeds, positions, ids), atol=2e-6, rtol=1e-6)


@jit
def _bound_kernel(seed, out_ptr, N: tl.constexpr):
    ids = tl.program_id(0) * N + tl.arange(0, N)
    stream = stream_of(tl.full([], seed, tl.int64), tl.full([], 0, tl.int64))
    tl.store(out_ptr + ids, gumbel_bound(stream, ids))


def test_a_bound_is_never_below_and_close_to_the_largest():
    count, programs = 4096, 32
    bound = torch.empty(count * programs, device=DEVICE)
    _bound_kernel[(programs,)](7, bound, N=count)
    ids = torch.arange(len(bound), device=DEVICE)
    noise = gumbel_ref(ints([7]), ints([0]), ids)[0]
    assert (bound > noise).all()
    largest = noise > 6
    assert largest.sum() > 100
    # half of u, which is exp(-6) there
    torch.testing.assert_close(bound[largest], noise[largest], atol=1.3e-3, rtol=0)
