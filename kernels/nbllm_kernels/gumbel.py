"""Noise that is a function of (seed, position, token id) and of nothing else.

So a seeded request samples the same tokens whatever shares its batch, and a device can draw the
noise of any token without the others. The generator is SplitMix64 (Steele, Lea & Flood 2014): the
seed and the position choose a stream, the token id an element of it. With E = -log(1 - u),

argmax(logits - log E)   samples from   softmax(logits)      (the Gumbel-max trick)
"""

import torch
from torch import Tensor

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


gumbel = gumbel_ref
