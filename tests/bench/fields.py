"""What sampling fields cost on a GPU: the same work with and without them, and deterministically."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from nbllm import LLM, SamplingParams, StructuredOutputsParams

from .gpu import host_times, random_prompts, write_folder

TOKENS = 128
KV_BYTES = 16 << 30
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 2000}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}

FIELDS = {
    "top-k 20, top-p 0.95": {"top_k": 20, "top_p": 0.95},
    "top-p 0.99": {"top_p": 0.99},
    "penalties": {"repetition_penalty": 1.1, "frequency_penalty": 0.2, "presence_penalty": 0.1},
    "logprobs=5": {"logprobs": 5},
    "penalties and logprobs=5": {"repetition_penalty": 1.1, "presence_penalty": 0.1, "logprobs": 5},
    "logit_bias, min_tokens, bad_words": {
        "logit_bias": {5: 3.0, 70: -9.0},
        "min_tokens": TOKENS,
        "stop_token_ids": [9],
        "bad_words": ["ab"],
    },
}


def params(**fields) -> SamplingParams:
    plain = {"temperature": 0.7, "max_tokens": TOKENS, "ignore_eos": True, "detokenize": False}
    return SamplingParams(**{**plain, **fields})


def step(llm: LLM, count: int, each: list[SamplingParams], length: int = 200) -> float:
    """Seconds of a decoding step of `count` rows: the median of all but the first and last few."""
    times: list[float] = []
    for round in range(2):
        llm.reset_prefix_cache()
        jobs = llm._jobs(_prompts(random_prompts(count, length, length, 1)), each)
        requests = [job.requests[0] for job in jobs]
        for request in requests:
            llm.engine.add(request)
        while not all(r.decoding for r in requests):
            llm.engine.step()
        torch.cuda.synchronize()
        while not all(r.finished for r in requests):
            before, begin = requests[0].num_output, time.perf_counter()
            llm.engine.step()
            if round and requests[0].num_output > before:
                taken = (time.perf_counter() - begin) / (requests[0].num_output - before)
                times.append(taken)
    return statistics.median(times[3:-3])


def _prompts(ids):
    from nbllm.prompts import as_prompts

    return as_prompts(ids)


def run(name: str) -> Iterator[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory() as folder:
        write_folder(name, Path(folder))
        options = {"load_format": "dummy", "kv_cache_memory_bytes": KV_BYTES, "device": "cuda"}
        with LLM(folder, **options) as llm:
            for rows in (1, 32, 256):
                times = host_times(llm, rows)
                yield f"{name}, host, a step of {rows}", statistics.median(times) * 1e6, "µs"
            yield from _fields(name, lambda *a: step(llm, *a))
        with LLM(folder, deterministic=True, **options) as llm:
            for rows in (1, 32, 256):
                took = step(llm, rows, [params()] * rows)
                yield f"{name}, deterministic, {rows} rows, a step", took * 1e3, "ms"


def _fields(name: str, took: Callable[[int, list[SamplingParams]], float]):
    alone = {}
    for rows in (1, 32, 256):
        alone[rows] = took(rows, [params()] * rows)
        yield f"{name}, {rows} rows, a step", alone[rows] * 1e3, "ms"
    for field, values in FIELDS.items():
        ratio = took(256, [params(**values)] * 256) / alone[256]
        yield f"{name}, 256 rows, {field}, a step", ratio, "x"
    scripted = params(logits_processors=[lambda ids, x: x])
    ratio = took(256, [scripted, *[params()] * 255]) / alone[256]
    yield f"{name}, 256 rows, one with a logits_processor, a step", ratio, "x"
    if find_spec("llguidance"):
        guided = params(structured_outputs=StructuredOutputsParams(json=PERSON))
        yield f"{name}, 32 rows, JSON, a step", took(32, [guided] * 32) / alone[32], "x"
