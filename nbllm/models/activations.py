"""Activation functions by the names that config.json gives them."""

ACTS = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "silu": "silu",
}
"""Name in config.json -> name in `skinny_linear.ACTS`."""
