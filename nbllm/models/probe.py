"""What the attention of a `transformers` model does, layer by layer: found out by running it once.

The model runs on the meta device, where tensors have shapes but no data, with an attention function
that takes notes in place of computing. So a model whose state is anything but keys and values of
each layer is refused before its weights are read, and so is one whose forward looks into its tensors:
no such step can be repeated by a GPU alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from nbllm.errors import ModelError

NAME = "nbllm"
"""Of the attention function, among those of transformers."""
HARMLESS = {"dropout", "sliding_window", "position_ids", "use_cache", "is_causal", "cache_position"}
"""What attention functions are told that changes nothing here: windows are those of the masks."""
HARMLESS |= {"output_attentions", "output_hidden_states", "output_router_logits", "attention_mask"}

Attend = Callable[..., Tensor]


class Mask:
    """What transformers makes masks with: a function, of which only the window matters."""

    def __init__(self, mask_function: Callable[..., Any], local_size: int | None = None, **_: Any):
        self.seen, self.window = mask_function, local_size or 0

    def __getitem__(self, _: Any) -> Mask:
        return self  # some models cut it to the length of the keys

    def check(self) -> None:
        """Raise `ModelError` if it is anything but causal, within the window."""
        w = self.window or 3
        q = torch.tensor([0, 1, w - 1, w, w + 1, 2 * w + 1])[:, None]
        k = (q - torch.tensor([-1, 0, 1, w - 1, w, w + 1])).clamp(min=0)
        behind, q = q - k, q.expand_as(k)
        want = (behind >= 0) & (behind < w) if self.window else behind >= 0
        zero = torch.tensor(0)
        try:
            same = bool((self.seen(zero, zero, q, k) == want).all())
        except Exception:
            same = False
        if not same:
            raise ModelError("its attention is neither causal nor has a sliding window")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """The attention of one layer."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    scale: float
    window: int
    softcap: float


class Notes(dict[int, Layer]):
    """Layers by number, as they come by."""

    def __call__(
        self,
        module: nn.Module,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Any,
        *,
        scaling: float | None = None,
        softcap: float | None = None,
        **others: Any,
    ) -> Tensor:
        number = getattr(module, "layer_idx", None)
        if not isinstance(number, int) or number in self:
            raise ModelError("its layers do not attend once each")
        if not isinstance(mask, Mask):
            raise ModelError("it makes attention masks of its own")
        if unknown := [n for n, v in others.items() if v is not None and n not in HARMLESS]:
            raise ModelError(f"its attention has {', '.join(unknown)}")
        if k.shape != v.shape or q.shape[-1] != k.shape[-1]:
            raise ModelError("its queries, keys and values are not of one size")
        mask.check()
        self[number] = Layer(
            num_heads=q.shape[1],
            num_kv_heads=k.shape[1],
            head_dim=k.shape[3],
            scale=scaling or k.shape[3] ** -0.5,
            window=mask.window,
            softcap=softcap or 0.0,
        )
        return torch.empty_like(q)


ATTEND: ContextVar[Attend] = ContextVar("nbllm attention")
"""What the layers that run now attend with: not every model passes on what it does not know."""


def attention(
    module: nn.Module, q: Tensor, k: Tensor, v: Tensor, mask: Any, **how: Any
) -> tuple[Tensor, None]:
    """As transformers calls it: q [1, H, T, D], k and v [1, K, T, D] -> [1, T, H, D]."""
    return ATTEND.get()(module, q, k, v, mask, **how).transpose(1, 2), None


def registered() -> None:
    """Make `attention` known to transformers."""
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, Mask)


def layers_of(
    hidden: Callable[[Attend], Tensor], logits: Callable[[Tensor], Tensor], expected: int
) -> list[Layer]:
    """The layers of a model on the meta device; `ModelError` says why nbllm cannot run it.

    hidden: runs its decoder, logits: its head.
    """
    notes = Notes()
    states = _traced(lambda: hidden(notes), notes)
    if sorted(notes) != list(range(expected)):
        raise ModelError(
            f"{len(notes)} of its {expected} layers attend over keys and values; the others have "
            "another state, or attention of their own"
        )
    _traced(lambda: logits(states), notes)
    layers = [notes[i] for i in range(expected)]
    if len({(x.num_kv_heads, x.head_dim) for x in layers}) > 1:
        raise ModelError("its layers have keys of different sizes")
    return layers


def _traced(run: Callable[[], Tensor], notes: Notes) -> Tensor:
    try:
        return run()
    except ModelError:
        raise
    except Exception as error:
        what = "its forward cannot be traced" if notes else "its state or attention is of its own"
        raise ModelError(f"{what} ({reason(error)})") from None


def reason(error: Exception) -> str:
    """The first line of an error that others raise, which may be long."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
