"""Activation functions by the names that config.json gives them."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from .config import ModelConfig

TANH = partial(F.gelu, approximate="tanh")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": TANH,
    "gelu_pytorch_tanh": TANH,
    "silu": F.silu,
}


def activation(c: ModelConfig, default: str) -> Callable[[Tensor], Tensor]:
    """What `activation_function` names, `default` if it is not there."""
    names = default, *(name for name in ACTIVATIONS if name != default)
    return ACTIVATIONS[c.require("activation_function", *names)]
