"""Rotary position embedding (Su et al. 2021), in the half-split form of Hugging Face checkpoints.

(a, b) = halves of a head's first R of D dims;  y = (a cos - b sin, b cos + a sin, the rest as it is)
"""

import torch
from torch import Tensor


def rope_table(head_dim: int, length: int, base: float, device=None) -> Tensor:
    """cos beside sin of every position's angles: [length, head_dim], float32."""
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim
    return angle_table(1.0 / base**exponent, length)


def angle_table(frequency: Tensor, length: int) -> Tensor:
    """As `rope_table`, for frequencies [R / 2] of any kind: [length, R]."""
    angle = torch.arange(length, dtype=torch.float32, device=frequency.device)[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], -1)


def rotation(cos_sin: Tensor) -> Tensor:
    """What tokens are rotated by, from their rows of `rope_table` [T, R]: [T, 1, 2 * R].

    cos beside itself, then -sin beside sin: y = x * cos + (the halves of x swapped) * sin.
    """
    cos, sin = cos_sin[:, None].chunk(2, -1)
    return torch.cat((cos, cos, -sin, sin), -1)


def rope_ref(x: Tensor, by: Tensor | None) -> Tensor:
    """Rotate x [T, H, D] by a `rotation`; None: not at all."""
    if by is None:
        return x
    if (rotated := by.shape[-1] // 2) < x.shape[-1]:
        return torch.cat((rope_ref(x[..., :rotated], by), x[..., rotated:]), -1)
    wide, (cos, sin) = x if x.dtype == torch.float32 else x.float(), by.chunk(2, -1)
    y = torch.addcmul(wide * cos, wide.roll(rotated // 2, -1), sin)
    return y if y.dtype == x.dtype else y.to(x.dtype)


rope = rope_ref
