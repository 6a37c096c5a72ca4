"""x W^T + b, with the weights packed once for a CPU.

Decoding multiplies a few rows by every weight, and is bound by reading the weights. torch hands the
general float32 product to MKL; oneDNN with weights in its own order is 2 to 3 times as fast for a
few rows. Weights that came from half precision need half the bytes: FBGEMM keeps them in float16 and
multiplies and adds in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch
import torch.nn.functional as F
from torch import Tensor

SMALL = 1 << 19
"""Weights of a float32 matrix that one row is multiplied with unpacked."""
ROUNDOFF = 2.0**-24
"""What one rounding to float32 may cost."""

Product = Callable[[Tensor], Tensor]
"""x [T, K] -> x W^T + b [T, N]."""

linear_ref = F.linear


def pack(weight: Tensor, bias: Tensor | None) -> Product | None:
    """The product with weight [N, K] and bias [N] or None, prepared; None where nothing is gained."""
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return None
    # operators behind torch's quantisation and compiler: there on x86, but not promised
    with suppress(AttributeError, RuntimeError):
        if fits_half(weight):
            half = torch.ops.quantized.linear_prepack_fp16(weight, bias)
            # without the Python around it, which looks for overrides too
            multiply = torch.ops.quantized.linear_dynamic_fp16.default._op
            plainly = torch._C.DisableTorchFunctionSubclass

            def product(x: Tensor) -> Tensor:
                # torch would ask the packed weights whether they override it, which raises and
                # catches two errors: longer than a small product takes
                with plainly():
                    return multiply(x, half)

            return product
    with suppress(AttributeError, RuntimeError):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        pointwise = torch.ops.mkldnn._linear_pointwise.default
        small = weight.numel() < SMALL
        return lambda x: (
            F.linear(x, weight, bias)
            if small and len(x) == 1
            else pointwise(x, packed, bias, "none", [], "")
        )
    return None


def fits_half(weight: Tensor) -> bool:
    """Whether float16 holds a matrix as well as float32 arithmetic could tell.

    bfloat16 has fewer digits than float16: only what is below 2^-17 is rounded, and by at most 2^-25.
    """
    rounding = (weight - weight.half().float()).norm()
    return bool(rounding.isfinite() and rounding <= ROUNDOFF * weight.norm())
