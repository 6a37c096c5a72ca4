"""The gate of SwiGLU (Shazeer 2020): silu(gate) * up, with gate and up in the halves of one row.

Memory bound: reads two values and writes one.
"""

import torch.nn.functional as F
from torch import Tensor


def silu_mul_ref(gate_up: Tensor) -> Tensor:
    """gate_up [T, 2 * N] -> [T, N]."""
    gate, up = gate_up.chunk(2, -1)
    return F.silu(gate) * up


silu_mul = silu_mul_ref
