"""Interrupts where nobody expects them: at any line of the engine."""

import sys

from nbllm.engine import (
    beam,
    beam_select,
    beam_stops,
    columns,
    cuda_beams,
    cuda_runner,
    device_rows,
    draws,
    graphs,
    host_copy,
    kv_memory,
    logits,
    masks,
    matcher,
    needs,
    pages,
    request,
    rows,
    runner,
    sampler,
    scheduler,
    search,
    sleep,
    stats,
    stops,
    uniform_runner,
    waves,
    weights,
)
from nbllm.engine import engine as engine_module

MODULES = (
    *(engine_module, scheduler, pages, rows, request, runner, logits, sampler, stats, stops),
    *(masks, matcher),
    *(cuda_runner, device_rows, graphs, columns, draws, needs, uniform_runner),
    *(beam, beam_select, beam_stops, cuda_beams, search, waves),
    *(host_copy, kv_memory, sleep, weights),
)
FILES = {m.__file__ for m in MODULES}


class InterruptAtLine:
    """Raise KeyboardInterrupt at the n-th line that the engine's own files (or `files`) execute."""

    def __init__(self, at: int, files: set[str] = FILES):
        self.left, self.files = at, files

    def __call__(self, frame, event, arg):
        if frame.f_code.co_filename not in self.files:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self

    def __enter__(self):
        sys.settrace(self)
        return self

    def __exit__(self, *exc):
        sys.settrace(None)
