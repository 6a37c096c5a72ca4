"""RMSNorm, optionally after the residual add that precedes it (Zhang & Sennrich 2019).

residual = x + residual                  (if a residual is given)
y = residual / sqrt(mean(residual**2) + eps) * weight

Memory bound: with a residual it reads two rows and writes two.
"""

import torch.nn.functional as F
from torch import Tensor


def rms_norm_ref(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x [..., N], weight [N] -> [..., N]; the statistics are float32 whatever the dtype."""
    return F.rms_norm(x.float(), weight.shape, weight.float(), eps).to(x.dtype)


def add_rms_norm_ref(
    x: Tensor, residual: Tensor | None, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """(normalised, new residual); `residual` None stands for zero."""
    residual = x if residual is None else x + residual
    return rms_norm_ref(residual, weight, eps), residual


rms_norm = rms_norm_ref
add_rms_norm = add_rms_norm_ref
