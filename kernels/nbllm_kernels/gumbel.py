"""Noise that is a function of (seed, position, token id) and of nothing else.

So a seeded request samples the same tokens whatever shares its batch, and a device can draw the
noise of any token without the others. The generator is SplitMix64 (Steele, Lea & Flood 2014): the
seed and the position choose a stream, the token id an element of it. With E = -log(1 - u),

argmax(logits - log E)   samples from   softmax(logits)      (the Gumbel-max trick)
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._triton import (
    AVAILABLE,
    INTERPRETED,
    jit,
    next_power_of_2,
    require_contiguous,
    tl,
    use_triton,
)

GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
MIX_2 = 0x94D049BB133111EB - (1 << 64)


def mix(z: Tensor) -> Tensor:
    """SplitMix64's output function on int64, which wraps as uint64 does."""
    z = (z ^ _shift(z, 30)) * MIX_1
    z = (z ^ _shift(z, 27)) * MIX_2
    return z ^ _shift(z, 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    # int64 shifts are arithmetic: clear the copies of the sign
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def gumbel_ref(seeds: Tensor, positions: Tensor, token_ids: Tensor) -> Tensor:
    """Standard Gumbel noise, float32. seeds, positions [B]; token_ids [B, N] or [N] -> [B, N]."""
    stream = mix(mix(seeds) + (positions + 1) * GAMMA)
    bits = mix(stream[:, None] + (token_ids + 1) * GAMMA)
    # 63 random bits to float32 keep 24 significant ones near zero, where the largest noise comes
    # from; a fixed-point uniform of 24 bits would cut the tail off
    u = (bits & ((1 << 63) - 1)).float() * 2.0**-63
    exponential = -torch.log1p(-u.clamp(2.0**-63, 1 - 2.0**-24))
    return -exponential.log()


if AVAILABLE:
    # a kernel reads no global but a constant of Triton's
    _GAMMA, _MIX_1, _MIX_2 = tl.constexpr(GAMMA), tl.constexpr(MIX_1), tl.constexpr(MIX_2)
    _INTERPRETED = tl.constexpr(INTERPRETED)


@jit
def _stirred(z):
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * _MIX_1
    return (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * _MIX_2


@jit
def mix_tile(z):
    """`mix` in a kernel, on a tile or a scalar of int64."""
    z = _stirred(z)
    return z ^ ((z >> 31) & 0x1FFFFFFFF)


@jit
def log_tile(x):
    """The logarithm of positive, normal float32 to about one unit in the last place.

    The hardware's is not precise near 1, where the smallest exponentials come from.
    """
    bits = x.to(tl.int32, bitcast=True)
    # x = m * 2**e, with m in [sqrt(1/2), sqrt(2)): 0x3F3504F3 are the bits of sqrt(1/2)
    e = (bits - 0x3F3504F3) >> 23
    f = (bits - (e << 23)).to(tl.float32, bitcast=True) - 1.0
    s = tl.div_rn(f, 2.0 + f)
    t = s * s
    # log(1 + f) = 2 artanh(s), and 2 artanh(s) = f - s * (f - r) with r the rest of the series
    r = t * (0.6666667 + t * (0.4 + t * (0.2857143 + t * (0.22222222 + t * 0.18181819))))
    k = e.to(tl.float32)
    return k * 0.693359375 + (f - (s * (f - r) + k * 2.12194440e-4))


@jit
def gumbel_tile(stream, ids):
    """Standard Gumbel noise of the tokens `ids` in a `stream` of `stream_of`."""
    bits = mix_tile(stream + (ids.to(tl.int64) + 1) * _GAMMA)
    u = (bits & 0x7FFFFFFFFFFFFFFF).to(tl.float32) * 1.0842021724855044e-19
    u = tl.minimum(tl.maximum(u, 1.0842021724855044e-19), 0.99999994)
    # log1p(-u): what rounding 1 - u loses, the quotient gives back (Kahan)
    w = 1.0 - u
    exact = tl.div_rn(-log_tile(w) * u, tl.where(w == 1.0, 1.0, 1.0 - w))
    return -log_tile(tl.where(w == 1.0, u, exact))


@jit
def _rough_log2(x):
    """The hardware's logarithm to base 2: one instruction, to 2e-7 or a few units in the last place."""
    if _INTERPRETED:
        y = tl.log2(x)
    else:
        y = tl.inline_asm_elementwise(
            "lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return y


@jit
def gumbel_bound(stream, ids):
    """No less than the noise of `gumbel_tile`, and close to it where that is large; much cheaper.

    -log(-log1p(-u)) is at most -log(u), and near that where u is small. Of the 63 bits of u the first
    30 are taken, which the last step of `mix` leaves as they are.
    """
    bits = _stirred(stream + (ids.to(tl.int64) + 1) * _GAMMA)
    u = ((bits >> 32).to(tl.int32) & 0x7FFFFFFE).to(tl.float32) * 4.656612873077393e-10
    return 2e-5 - 0.6931471805599453 * _rough_log2(u)


@jit
def stream_of(seed, position):
    """The stream that a request with `seed` draws the token at `position` from."""
    return mix_tile(mix_tile(seed.to(tl.int64)) + (position.to(tl.int64) + 1) * _GAMMA)


@jit
def _gumbel_kernel(seeds_ptr, positions_ptr, ids_ptr, out_ptr, stride, N, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    stream = stream_of(tl.load(seeds_ptr + row), tl.load(positions_ptr + row))
    ids = tl.load(ids_ptr + row * stride + cols, cols < N, other=0)
    tl.store(out_ptr + row * N + cols, gumbel_tile(stream, ids), cols < N)


def gumbel(seeds: Tensor, positions: Tensor, token_ids: Tensor) -> Tensor:
    """Standard Gumbel noise, float32. seeds, positions [B]; token_ids [B, N] or [N] -> [B, N]."""
    if not use_triton(seeds):
        return gumbel_ref(seeds, positions, token_ids)
    require_contiguous("gumbel", seeds=seeds, positions=positions, token_ids=token_ids)
    rows, count = len(seeds), token_ids.shape[-1]
    out = torch.empty(rows, count, dtype=torch.float32, device=seeds.device)
    if out.numel():
        block = min(1024, next_power_of_2(count))
        stride = count if token_ids.ndim == 2 else 0
        grid = (rows, -(-count // block))
        _gumbel_kernel[grid](seeds, positions, token_ids, out, stride, count, BLOCK=block)
    return out
