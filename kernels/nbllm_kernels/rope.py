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


def rope_ref(x: Tensor, cos_sin: Tensor | None) -> Tensor:
    """Rotate x [T, H, D] by cos_sin [T, R], one row of `rope_table` for each token; None: not at all."""
    if cos_sin is None:
        return x
    if (rotated := cos_sin.shape[-1]) < x.shape[-1]:
        return torch.cat((rope_ref(x[..., :rotated], cos_sin), x[..., rotated:]), -1)
    cos, sin = cos_sin[:, None].chunk(2, -1)  # [T, 1, D / 2]
    halves = x.float().unflatten(-1, (2, -1))
    y = halves * cos[:, :, None]
    y[:, :, 0].addcmul_(halves[:, :, 1], sin, value=-1)
    y[:, :, 1].addcmul_(halves[:, :, 0], sin)
    return y.flatten(-2).to(x.dtype)


rope = rope_ref
