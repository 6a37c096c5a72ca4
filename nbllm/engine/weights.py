"""The weights of a model, which can leave the GPU for a while.

What leaves is the memory behind the parameters; they themselves, and all views of them, stay as they
are. They come back at other addresses, so what a captured graph knows of them is void.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, UntypedStorage, nn

from nbllm.errors import OutOfMemoryError

from .host_copy import Ferry, host_bytes
from .kv_memory import mib


@dataclass(slots=True)
class Away:
    """Memory that a parameter, or several, had."""

    storage: UntypedStorage
    size: int
    copy: Tensor | None  # uint8, on the host; None: to be read again
    unique: bool  # computed, not read


class Weights:
    """Those of `model`; `refill` reads them again, if it can be. On a CPU they never leave."""

    def __init__(self, model: nn.Module, refill: Callable[[nn.Module], None] | None):
        self.model, self.refill = model, refill
        self._away: list[Away] = []

    @property
    def away(self) -> bool:
        """Whether they have left."""
        return bool(self._away)

    @property
    def host_bytes(self) -> int:
        """Bytes of their copies on the host."""
        return sum(away.size for away in self._away if away.copy is not None)

    def leave(self, *, keep: bool) -> None:
        """Free their memory; keep: after copying them to the host."""
        keep = keep or self.refill is None
        here = list(self._here())
        if here:
            with Ferry(here[0][0].device) as ferry:
                for storage, unique in here:
                    copy = _copied(storage, ferry) if keep or unique else None
                    self._away.append(Away(storage, storage.nbytes(), copy, unique))
                    storage.resize_(0)
        for away in self._away:
            if not (keep or away.unique):
                away.copy = None

    def come_back(self) -> None:
        """Undo `leave`. Raises `OutOfMemoryError`; then, or interrupted, all is as before."""
        if not self._away:
            return
        try:
            self._allocate()
            with Ferry(self._away[0].storage.device) as ferry:
                for away in self._away:
                    if away.copy is not None:
                        ferry.to_device(away.copy, _bytes_of(away.storage))
            if self.refill is not None and any(away.copy is None for away in self._away):
                self.refill(self.model)
        except BaseException:
            for away in self._away:
                away.storage.resize_(0)
            raise
        self._away.clear()

    def _here(self) -> Iterator[tuple[UntypedStorage, bool]]:
        """Storages on a GPU, each once, and whether what is in them was computed, not read."""
        seen: set[int] = set()
        read = ((p, False) for p in self.model.parameters())
        for tensor, unique in chain(read, ((b, True) for b in self.model.buffers())):
            storage = tensor.untyped_storage()
            if tensor.is_cuda and storage.nbytes() and storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                yield storage, unique

    def _allocate(self) -> None:
        need = sum(away.size for away in self._away)
        # else they would be put into what a deleted tensor of the user's has left, and keep all of it
        torch.cuda.empty_cache()
        try:
            for away in self._away:
                away.storage.resize_(away.size)
        except torch.OutOfMemoryError:
            device = self._away[0].storage.device
            free, total = torch.cuda.mem_get_info(device)
            raise OutOfMemoryError(
                f"waking up needs {mib(need)} for the weights; {mib(free)} of {mib(total)} are free "
                f"on {device}: free some first"
            ) from None


def _bytes_of(storage: UntypedStorage) -> Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _copied(storage: UntypedStorage, ferry: Ferry) -> Tensor:
    copy = host_bytes(storage.nbytes())
    ferry.to_host(_bytes_of(storage), copy)
    return copy
