"""Where the time goes: for each workload the kernels of a step, how long nothing ran, and when; and what
the host did meanwhile, of which only what it does while nothing runs takes longer.

The times of kernels are torch's profiler's, which runs them a little apart; the wall time is taken
before, without it. `busy` is the time in which at least one kernel ran. A launch that begins early is
counted from when it begins, so that kernels add up to more than that.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from nbllm import LLM, BeamSearchParams
from nbllm.prompts import as_prompts

from . import host
from .gpu import KV_BYTES, LONG, greedy, many, random_prompts, write_folder

SHOWN, GAPS, SHORT = 12, 4, 1.0
"""Kernels of a workload that are listed, the rest being one row; and pairs of kernels with the longest
waits between them, of more than so many µs each."""
ROWS = ((1, 128), (8, 1000), (32, 1000), (64, 600), (128, 600), (256, 600))
"""Decoding requests, and tokens in the cache of each."""


Span = tuple[float, float, str]
"""µs at which a kernel began and ended, and its name."""


@dataclass(frozen=True)
class Work:
    """Something that can be run for some steps again and again."""

    name: str
    run: Callable[[], int]
    """Gives how many steps it was."""


@contextmanager
def decoding(llm: LLM, rows: int, context: int) -> Iterator[Work]:
    """Steps of `rows` requests that have `context` tokens and go on for long."""
    engine = llm.engine
    prompts = as_prompts(random_prompts(rows, context, context, seed=rows))
    requests = [j.requests[0] for j in llm._jobs(prompts, [greedy(400)] * rows)]
    for request in requests:
        engine.add(request)
    while not all(r.num_output > 4 for r in requests):
        engine.step()

    def steps() -> int:
        before = requests[0].num_output
        while requests[0].num_output < before + 48:
            engine.step()
        return requests[0].num_output - before

    try:
        yield Work(f"{rows} rows at {context}", steps)
    finally:
        for request in requests:
            engine.abort(request)
        engine.settle()


def works(llm: LLM) -> Iterator[Work]:
    def generated(prompts: list[list[int]]) -> int:
        llm.reset_prefix_cache()
        llm.generate(prompts, greedy(1), use_tqdm=False)
        return 1

    def searched(width: int, count: int) -> int:
        llm.reset_prefix_cache()
        prompts = [{"prompt_token_ids": p} for p in random_prompts(count, 128, 128, 2)]
        llm.beam_search(prompts, BeamSearchParams(beam_width=width, max_tokens=64, ignore_eos=True))
        return 64

    for rows, context in ROWS:
        with decoding(llm, rows, context) as work:
            yield work
    yield Work("prompt of 128", lambda: generated(random_prompts(1, 128, 128, 1)))
    if llm.max_model_len >= 8000:
        yield Work("prompt of 7900", lambda: generated(LONG))
    prompts, each = many()
    yield Work("256 prompts", lambda: generated(prompts))

    def answered() -> int:
        llm.reset_prefix_cache()
        llm.generate(prompts, each, use_tqdm=False)
        return max(p.max_tokens or 0 for p in each)

    yield Work("256 requests", answered)
    yield Work("beams 5 x 1", lambda: searched(5, 1))
    yield Work("beams 8 x 16", lambda: searched(8, 16))


def measure(work: Work) -> Iterator[tuple[str, float, str]]:
    work.run()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    steps = work.run()
    torch.cuda.synchronize()
    yield f"{work.name}, wall", (time.perf_counter() - begin) / steps * 1e6, "µs"
    yield from _on_host(work)
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        steps = work.run()
        torch.cuda.synchronize()
    spans = _spans(found)
    yield f"{work.name}, busy", sum(end - start for start, end in _busy(spans)) / steps, "µs"
    for (before, after), waits in _gaps(spans)[:GAPS]:
        label = f"{work.name}, {len(waits) / steps:.3g} x nothing from {before} to {after}"
        yield label, sum(waits) / steps, "µs"
    times: dict[str, list[float]] = defaultdict(list)
    for start, end, name in spans:
        times[name].append(end - start)
    ranked = sorted(times.items(), key=lambda item: -sum(item[1]))
    for name, each in ranked[:SHOWN]:
        label = f"{work.name}, {len(each) / steps:.3g} x {name}"
        yield label, sum(each) / steps, "µs"
    if rest := ranked[SHOWN:]:
        count = sum(len(each) for _, each in rest) / steps
        total = sum(sum(each) for _, each in rest) / steps
        yield f"{work.name}, {count:.3g} x others", total, "µs"


def _on_host(work: Work) -> Iterator[tuple[str, float, str]]:
    with host.parts() as found:
        steps = work.run()
        torch.cuda.synchronize()
    for part, took in found.most_common():
        yield f"{work.name}, host: {part}", took / steps * 1e6, "µs"


def _spans(found: profile) -> list[Span]:
    """What ran, in the order in which it began; a list of events of torch takes minutes for so many."""
    assert found.profiler is not None, "it has run"
    events = found.profiler.kineto_results.events()
    return sorted(
        (e.start_ns() / 1e3, (e.start_ns() + e.duration_ns()) / 1e3, _short(e.name()))
        for e in events
        if e.device_type() == DeviceType.CUDA
    )


def _busy(spans: list[Span]) -> Iterator[tuple[float, float]]:
    """Stretches in which something ran, those that touch as several."""
    reached = float("-inf")
    for start, end, _ in spans:
        if end > reached:
            yield max(start, reached), end
            reached = end


def _gaps(spans: list[Span]) -> list[tuple[tuple[str, str], list[float]]]:
    """Waits by what ran before and after them, the longest in all first."""
    gaps: dict[tuple[str, str], list[float]] = defaultdict(list)
    reached, last = float("inf"), ""
    for start, end, name in spans:
        if start > reached + SHORT:
            gaps[last, name].append(start - reached)
        if end > reached or not last:
            reached, last = end, name
    return sorted(gaps.items(), key=lambda item: -sum(item[1]))


def _short(name: str) -> str:
    """The part of a kernel's name that says what it is."""
    name = re.sub(r"^(void |std::)+", "", name)
    return re.split(r"[<(]", name)[0][:64]


def run(name: str) -> Iterator[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory() as folder:
        write_folder(name, Path(folder))
        options = {"load_format": "dummy", "kv_cache_memory_bytes": KV_BYTES, "device": "cuda"}
        with LLM(folder, **options) as llm:
            for work in works(llm):
                for case, figure, unit in measure(work):
                    yield f"{name}, {case}", figure, unit
