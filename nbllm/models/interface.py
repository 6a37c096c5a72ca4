"""What a generative model has to be, for the engine to run it.

Hidden states, then logits, then the sampler: the model computes the first two, the engine does the
rest. A model holds no state of a request; everything a step needs is in its `Batch`. The layers of
`nbllm.models.layers` read the batch themselves, so most models never look into it.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from .batch import Batch
from .config import ModelConfig


@runtime_checkable
class TextGenerationModel(Protocol):
    """A `torch.nn.Module` that the engine can generate with; `nbllm.models.register` makes it known.

    Parameters are made with `layers.empty` (or the layers of that file) and carry the checkpoint's
    names. An optional class attribute `FUSED` maps a parameter stored fused to the checkpoint's
    parts, in order: `{"qkv_proj": ("q_proj", "k_proj", "v_proj")}`. Where checkpoints differ more,
    `stored_as` and `UNUSED` say how: see `sources`. Another, `REQUIRED`, maps fields of config.json to
    the values that the model can compute: `{"hidden_act": ("silu",)}`.

    The interface is that of vLLM's `VllmModelForTextGeneration`, with a `Batch` for its metadata.
    """

    def __init__(self, config: ModelConfig) -> None: ...

    def forward(self, batch: Batch) -> Tensor:
        """Final hidden states [R, N] of the R tokens that `batch.last` names (all, if it is None).

        Every attention layer hands its queries, keys and values [T, heads, D] to a
        `layers.PagedAttention(layer, head_dim)` of its own, which keeps them in the KV cache. With
        `batch.of_layers` the last layer gives only these R tokens: what is added to its attention's
        output goes through `batch.pick`.
        """
        ...

    def compute_logits(self, hidden: Tensor) -> Tensor:
        """Logits [R, V] of hidden states [R, N], before any temperature, penalty or mask."""
        ...
