"""x W^T + b, with the weights packed once for a CPU.

Decoding multiplies a few rows by every weight, and is bound by reading the weights. oneDNN with
weights in its own order is 2 to 3 times as fast there as the general matrix product, which torch
hands to MKL; for a single row and a small matrix the general one is faster.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SMALL = 1 << 19
"""Weights of a matrix that one row is multiplied with unpacked."""

linear_ref = F.linear

# the operators behind torch.compile's CPU code: there on x86, but not promised
_packed = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def pack(weight: Tensor) -> Tensor | None:
    """A copy of weight [N, K] in oneDNN's order; None where that has nothing to offer."""
    fits = weight.device.type == "cpu" and weight.dtype == torch.float32
    if not fits or _packed is None or not torch.backends.mkldnn.is_available():
        return None
    return torch.ops.mkldnn._reorder_linear_weight(weight, None)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, packed: Tensor | None) -> Tensor:
    """x [T, K], weight [N, K], bias [N], packed = pack(weight) -> [T, N]."""
    if packed is None or (len(x) == 1 and weight.numel() < SMALL):
        return linear_ref(x, weight, bias)
    assert _packed is not None, "pack() gave something"
    return _packed.default(x, packed, bias, "none", [], "")
