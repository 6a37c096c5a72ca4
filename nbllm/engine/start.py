"""How an engine starts: its weights arrive while its first kernels are made."""

from __future__ import annotations

import traceback

import torch

from nbllm.models import load
from nbllm.models.origin import Origin

from .build import Limits, new_engine
from .engine import Engine


def start(
    origin: Origin,
    dtype: torch.dtype,
    device: torch.device,
    limits: Limits,
    *,
    processed_logprobs: bool = False,
) -> tuple[Engine, int]:
    """An engine that runs, and the longest sequence it takes.

    Whatever ends this early, an interrupt too, leaves nothing behind: threads, files, memory.
    """
    network = engine = None
    try:
        network = origin.build(dtype, device)
        with origin.weights(network) as weights:
            engine, max_len = new_engine(
                network, origin.config, dtype, device, limits, processed_logprobs=processed_logprobs
            )
            engine.runner.warm_up()
            weights.wait()
        origin.ready(network)
        return engine, max_len
    except BaseException as error:
        # a notebook keeps its last traceback, and that its frames
        traceback.clear_frames(error.__traceback__)
        if engine is not None:
            engine.close()
        if network is not None:
            load.let_go(network)
        del network, engine
        if device.type == "cuda" and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        raise
