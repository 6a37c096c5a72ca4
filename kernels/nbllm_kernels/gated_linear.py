"""The first product of a gated MLP with its gate: act(g) * u, where g and u are the halves of x W^T + b.

For many rows, as prompts have: `skinny_linear.py` is for few. Bound by arithmetic. A product of torch
writes g and u, and the gate reads them again; on a Hopper GPU one launch does both, and what lies between
stays in registers in float32. Elsewhere, for fewer rows than `LEAST`, where the kernel's tiles would leave
too much of the card idle, and with a bias, it is torch's product.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ._around import ACTS, NUMBER
from ._triton import in_gluon, multiprocessors
from .gelu_mul import gelu_mul
from .silu_mul import silu_mul

LEAST = 1024
"""Rows of x from which one launch may be faster."""
TILE = 192, 128
"""Rows of x and outputs of a tile."""
GATE = 200
"""Columns of the product that take as long as a gate in a launch of its own: 300 for Llama-3-8B, less
those by which torch's product is faster than the kernel's."""
GATED = {"silu": silu_mul, "gelu_tanh": gelu_mul}


def gated(y: Tensor, act: str | None) -> Tensor:
    """y [..., 2 * N] -> [..., N]: act(g) * u of the halves g, u of each row; act: a name of `ACTS`."""
    if act in GATED:
        return GATED[act](y)
    g, u = y.chunk(2, -1)
    return ACTS[act](g) * u


def gated_linear_ref(x: Tensor, weight: Tensor, bias: Tensor | None, act: str | None) -> Tensor:
    """As `gated_linear`, by torch's product."""
    return gated(F.linear(x, weight, bias), act)


def gated_linear(x: Tensor, weight: Tensor, bias: Tensor | None, act: str | None) -> Tensor:
    """x [M, K], weight [2 * N, K], bias [2 * N] -> [M, N]; act: a name of `ACTS`.

    In half precision g and u are rounded before the gate only where torch's product makes them.
    """
    if bias is not None or not takes(x, weight) or not fits(x, weight):
        return gated_linear_ref(x, weight, bias, act)
    from ._hopper_gate import hopper_gate

    y = x.new_empty(len(x), len(weight) // 2)
    hopper_gate(x.contiguous(), weight, NUMBER[act], y)
    return y


def takes(x: Tensor, weight: Tensor) -> bool:
    """Whether the kernel is for these; what it copies begins at multiples of 16 bytes."""
    if len(x) < LEAST or not in_gluon(x) or not weight.is_contiguous():
        return False
    if (x.dtype, x.device, x.shape[1]) != (weight.dtype, weight.device, weight.shape[1]):
        return False  # for torch to refuse
    return weight.shape[1] % 8 == 0 and weight.data_ptr() % 16 == x.data_ptr() % 16 == 0


def fits(x: Tensor, weight: Tensor) -> bool:
    """Whether less is computed in vain than a gate of its own costs: tiles come in rounds of one for each
    multiprocessor, and in the last round some have none."""
    (count, size), size_out, programs = x.shape, len(weight) // 2, multiprocessors(x)
    rows, outputs = TILE
    tiles = -(-count // rows) * -(-size_out // outputs)
    computed = -(-tiles // programs) * programs * rows * outputs
    return computed * size <= count * size_out * (size + GATE)
