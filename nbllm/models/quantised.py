"""Checkpoints with quantised weights, which become ordinary ones when they are loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from .checkpoint import Stored
from .stream import Read


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """A weight that several stored tensors make up."""

    shape: tuple[int, ...]  # of the weight
    parts: Mapping[str, Stored]  # by the names of dequantise's arguments
    dequantise: Callable[..., Tensor]

    def __call__(self, read: Read) -> Tensor:
        return self.dequantise(**{name: read(stored) for name, stored in self.parts.items()})
