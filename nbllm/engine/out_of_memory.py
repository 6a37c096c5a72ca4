"""A GPU without memory for a step: how that shows, and what to tell the user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nbllm.errors import OutOfMemoryError

from .kv_memory import mib

SIGNS = ("out of memory", "ALLOC_FAILED", "OUT_OF_MEMORY")
"""What libraries say, which raise no error of their own kind for it."""


def lacks_memory(error: BaseException) -> bool:
    """Whether memory of a GPU is what `error` is about."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def explained(error: Exception, state: str) -> Exception:
    """The error for the user: ours, if a step lacked memory; `state` says what there is."""
    if isinstance(error, OutOfMemoryError) or not lacks_memory(error):
        return error
    # the only number in a text that otherwise runs over many lines
    wanted = re.search(r"allocate ([\d.]+ \w+)", str(error))
    what = f"{wanted[1]} more" if wanted else "more memory than there is"
    return OutOfMemoryError(
        f"a step needs {what}; {state}: free some, or lower max_num_batched_tokens, max_num_seqs or "
        "gpu_memory_utilization"
    )


@contextmanager
def room_for_weights(device: torch.device) -> Iterator[None]:
    """Inside, memory that is lacking is an error about weights; what they had is free again."""
    # else weights would be put into what a deleted tensor of the user's has left, and keep all of it
    if device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        yield
    except torch.OutOfMemoryError as error:
        error.__traceback__ = None
    else:
        return
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    raise OutOfMemoryError(
        f"the weights do not fit: {mib(free)} of {mib(total)} are free on {device}; free some, choose "
        'a smaller model or device="cpu", or, for float32 weights, dtype="bfloat16"'
    )
