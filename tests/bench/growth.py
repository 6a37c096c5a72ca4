"""How costs grow on a GPU: with the rows of a step, the queue, an edited prompt, beams."""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from nbllm import LLM, BeamSearchParams

from .fields import params, step
from .gpu import KV_BYTES, LONG, VOCAB, greedy, random_prompts, seconds, write_folder

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
QUEUED = (10, 100, 1000)
SEATS, SHORT = 16, 24
"""Requests that run at a time where others queue, and the tokens that each makes."""
EDITED = 24
"""Tokens at the end of a prompt that are others the next time."""


def run(name: str) -> Iterator[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory() as folder:
        write_folder(name, Path(folder))
        how = {"load_format": "dummy", "kv_cache_memory_bytes": KV_BYTES, "device": "cuda"}
        with LLM(folder, **how) as llm:
            for case, figure, unit in _of_one(llm):
                yield f"{name}, {case}", figure, unit
        with LLM(folder, max_num_seqs=SEATS, **how) as llm:
            for case, figure, unit in _queue(llm):
                yield f"{name}, {case}", figure, unit


def _of_one(llm: LLM) -> Iterator[tuple[str, float, str]]:
    for rows in ROWS:
        took = step(llm, rows, [params(temperature=0)] * rows, 1000)
        yield f"a step of {rows} rows at 1,000 tokens", took * 1e3, "ms"
    if llm.max_model_len >= 8000:
        yield "first token of 7,900, the end edited", _edited(llm) * 1e3, "ms"
    for width, count in ((4, 1), (4, 4), (4, 16), (4, 32), (8, 16), (16, 16)):
        prompts = [{"prompt_token_ids": p} for p in random_prompts(count, 128, 128, 2)]
        search = BeamSearchParams(beam_width=width, max_tokens=64, ignore_eos=True)
        took = seconds(llm, lambda p=prompts, q=search: llm.beam_search(p, q), 2)
        yield f"beams {width} x {count}, a step", took / 64 * 1e3, "ms"


def _edited(llm: LLM) -> float:
    """Seconds to the first token of a prompt that was run before but for its end."""
    times, r = [], random.Random(0)
    for _ in range(8):
        prompt = LONG[0][:-EDITED] + [r.randint(0, VOCAB) for _ in range(EDITED)]
        torch.cuda.synchronize()
        begin = time.perf_counter()
        llm.generate([prompt], greedy(1), use_tqdm=False)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[2:])


def _queue(llm: LLM) -> Iterator[tuple[str, float, str]]:
    llm.generate(random_prompts(SEATS, 64, 64, 1), greedy(SHORT), use_tqdm=False)
    for queued in QUEUED:
        prompts = random_prompts(SEATS * queued, 64, 64, queued)
        begin = time.perf_counter()
        llm.generate(prompts, greedy(SHORT), use_tqdm=False)
        took = time.perf_counter() - begin
        yield f"{queued} prompts for each of {SEATS} rows", len(prompts) * SHORT / took, "tokens/s"
