"""How an engine starts: its weights arrive while its first kernels are made."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn

from nbllm.models import load
from nbllm.models.origin import Origin

from .build import Limits, new_engine
from .engine import Engine
from .out_of_memory import lacks_memory, room_for_weights


def start(
    origin: Origin,
    dtype: torch.dtype,
    device: torch.device,
    limits: Limits,
    *,
    processed_logprobs: bool = False,
    deterministic: bool = False,
) -> tuple[Engine, int]:
    """An engine that runs, and the longest sequence it takes.

    Whatever ends this early, an interrupt too, leaves nothing behind: threads, files, memory.
    """
    network = engine = weights = None
    handled = sys.exception()
    # kernels run where the current device is
    home = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    try:
        with home:
            with room_for_weights(device):
                network = origin.build(dtype, device)
            weights = origin.weights(network)
            with weights:
                engine, max_len = new_engine(
                    network,
                    origin.config,
                    dtype,
                    device,
                    limits,
                    refill=_refill(origin),
                    owned=origin.folder is not None,
                    processed_logprobs=processed_logprobs,
                    deterministic=deterministic,
                )
                engine.runner.warm_up()
                weights.wait()
            origin.ready(network)
        return engine, max_len
    except BaseException as error:
        # a notebook keeps its last traceback, and that its frames
        clear_frames(error, handled)
        if weights is not None:
            weights.close()  # an interrupt may have come between it and its `with`
        if engine is not None:
            engine.close()
        if network is not None:
            load.let_go(network)
        del network, engine, weights
        if device.type == "cuda" and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        raise


def clear_frames(error: BaseException | None, handled: BaseException | None) -> None:
    """Let go of what the frames hold that an error came through, and those that it was raised for.

    handled: what the caller was dealing with before, whose frames are somebody else's.
    """
    while error is not None and error is not handled:
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, KeyboardInterrupt) or lacks_memory(error):
            # a cleared frame keeps its function, and that what it closes over; where these came from
            # nobody has to know
            error.__traceback__ = None
        error = error.__context__


def _refill(origin: Origin) -> Callable[[nn.Module], None] | None:
    """Reads the weights again; None where that would make another model."""
    if not origin.config.native:
        return None

    def refill(network: nn.Module) -> None:
        with origin.weights(network) as weights:
            weights.wait()
        origin.ready(network)

    return refill
