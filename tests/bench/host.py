"""What scheduling and bookkeeping cost a step, with a runner that computes nothing."""

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from nbllm import SamplingParams
from nbllm.engine.columns import Column
from nbllm.engine.cuda_runner import MOST_AHEAD, CudaRunner
from nbllm.engine.device_rows import DeviceRows
from nbllm.engine.engine import Engine
from nbllm.engine.graphs import Captured
from nbllm.engine.pages import PagePool
from nbllm.engine.request import Request
from nbllm.engine.rows import Rows
from nbllm.engine.sampler import Sampler, Samples
from nbllm.engine.scheduler import Plan, Scheduler
from nbllm.models.config import ModelConfig

EOS = 2
WAIT, REST = "waiting for the GPU", "the rest"
PARTS = (
    (WAIT, torch.cuda.Event, "synchronize"),
    ("launching graphs", Captured, "replay"),
    ("recording events", torch.cuda.Event, "record"),
    ("sending changes", DeviceRows, "follow"),
    ("reading tokens", Column, "read"),
    ("appending tokens", Engine, "_append"),
    ("who has ended", Rows, "kept"),
    ("pages and plan", Scheduler, "schedule"),
    (REST, Engine, "step"),
)
"""What the host does in a step, and the methods that do it."""


@contextmanager
def parts() -> Iterator[Counter[str]]:
    """Seconds of each part of `PARTS` while it is open; what is called inside another is not its own."""
    found: Counter[str] = Counter()
    inner = [0.0]  # seconds of calls inside the present one, for each one that is open

    def timed(part: str, method: Callable) -> Callable:
        def call(*args, **kwargs):
            inner.append(0.0)
            begin = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                took = time.perf_counter() - begin
                found[part] += took - inner.pop()
                inner[-1] += took

        return call

    patches = [patch.object(c, name, timed(part, getattr(c, name))) for part, c, name in PARTS]
    for each in patches:
        each.start()
    try:
        yield found
    finally:
        for each in patches:
            each.stop()


class FakeRunner:
    """Every request's next token is 5."""

    def run(self, plan: Plan) -> Samples:
        return self.give(len(plan.sampled))

    def give(self, count: int) -> Samples:
        shape = 1, count
        return Samples(tokens=np.full(shape, 5), logprobs=np.full(shape, -1, np.float32), tops={})


class Nothing:
    """A captured step that is not there."""

    def replay(self) -> None: ...


def idle_runner(rows: Rows) -> CudaRunner:
    """The runner of a GPU, whose steps compute nothing: every next token is 5."""
    shape = {
        "num_attention_heads": 1,
        "num_hidden_layers": 1,
        "hidden_size": 1,
        "intermediate_size": 1,
        "vocab_size": 64,
        "max_position_embeddings": 4096,
    }
    config = ModelConfig.from_hf(shape)
    kv = torch.zeros(1, 1, 2, 1, 64, 1)
    runner = CudaRunner(nn.Module(), config, rows, kv, Sampler(rows, kv.device))
    runner.draws.ring.memory.fill_(5)
    runner.graphs.get = runner.graphs.made = lambda *_: Nothing()
    return runner


def request(i: int, num_prompt: int) -> Request:
    return Request(
        id=str(i),
        tokens=[1] * num_prompt,
        num_prompt=num_prompt,
        params=SamplingParams(max_tokens=1000),
        limit=num_prompt + 1000,
        eos_ids=frozenset({EOS}),
        seed=0,
        text=None,
    )


def step_times(
    count: int, steps: int = 600, device: bool = False, patient: bool = False
) -> list[float]:
    """Seconds a token of `steps` decoding steps with `count` requests of different lengths."""
    rows = Rows(count, 20)
    pages, ahead = PagePool(count * 20 + 1), MOST_AHEAD if device else 0
    runner = idle_runner(rows) if device else FakeRunner()
    engine = Engine(runner, Scheduler(pages, rows, 16384, ahead))
    requests = [request(i, 100 + i % 64) for i in range(count)]
    with torch.inference_mode():
        if device:
            runner._keep(torch.zeros(count, 1), torch.zeros(count, dtype=torch.int32))
            runner._prompts = lambda plan: lambda: FakeRunner().give(len(plan.completing))
        for each in requests:
            engine.add(each)
        for _ in range(20):
            engine.step()
    times, before = [], requests[0].num_output
    while len(times) < steps and requests[0].num_output < 900:
        begin = time.perf_counter()
        engine.step(due=math.inf if patient else None)
        took, now = time.perf_counter() - begin, requests[0].num_output
        times.append(took / (now - before))
        before = now
    return times


def run() -> Iterator[tuple[str, float, str]]:
    device = "step of a GPU's runner, graphs aside"
    for what, *how in (
        ("step", 600),
        (device, 200, True),
        (f"{device}, nobody looking", 200, True, True),
    ):
        for count in (1, 32, 256):
            # the best of three: what a busy machine adds is not ours
            many = [step_times(count, *how) for _ in range(3)]
            yield f"{what}, {count} rows", min(map(statistics.median, many)) * 1e6, "µs"
