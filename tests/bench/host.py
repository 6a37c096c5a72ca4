"""What scheduling and bookkeeping cost a step, with a runner that computes nothing."""

import statistics
import time
from collections.abc import Iterator

import numpy as np

import torch
from torch import nn

from nbllm import SamplingParams
from nbllm.engine.cuda_runner import MOST_AHEAD, CudaRunner
from nbllm.engine.engine import Engine
from nbllm.engine.pages import PagePool
from nbllm.engine.request import Request
from nbllm.engine.rows import Rows
from nbllm.engine.sampler import Sampler, Samples
from nbllm.engine.scheduler import Plan, Scheduler
from nbllm.models.config import ModelConfig

EOS = 2


class FakeRunner:
    """Every request's next token is 5."""

    def run(self, plan: Plan) -> Samples:
        shape = 1, len(plan.sampled)
        return Samples(tokens=np.full(shape, 5), logprobs=np.full(shape, -1, np.float32), tops={})


class Nothing:
    """A captured step that is not there."""

    def replay(self) -> None: ...


def idle_runner(rows: Rows) -> CudaRunner:
    """The runner of a GPU, whose steps compute nothing: every next token is 5."""
    raw = {"vocab_size": 64}
    config = ModelConfig(
        architecture="",
        hidden_size=1,
        num_layers=1,
        num_heads=1,
        num_kv_heads=1,
        head_dim=1,
        intermediate_size=1,
        vocab_size=64,
        max_length=4096,
        raw=raw,
    )
    kv = torch.zeros(1, 1, 2, 1, 64, 1)
    runner = CudaRunner(nn.Module(), config, rows, kv, Sampler(rows, kv.device))
    runner.draws.out.fill_(5)
    runner.graphs.get = lambda *_: Nothing()
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


def step_times(count: int, steps: int = 600) -> list[float]:
    """Seconds of `steps` decoding steps with `count` requests of different lengths."""
    rows = Rows(count, 20)
    engine = Engine(FakeRunner(), Scheduler(PagePool(count * 20 + 1), rows, 16384))
    for i in range(count):
        engine.add(request(i, 100 + i % 64))
    for _ in range(20):
        engine.step()
    times = []
    for _ in range(steps):
        begin = time.perf_counter()
        engine.step()
        times.append(time.perf_counter() - begin)
    return times


def run() -> Iterator[tuple[str, float, str]]:
    for count in (1, 32, 256):
        # the best of three: what a busy machine adds is not ours
        medians = [statistics.median(step_times(count)) for _ in range(3)]
        yield f"step, {count} rows", min(medians) * 1e6, "µs"
