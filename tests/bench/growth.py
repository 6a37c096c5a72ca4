"""How costs grow on a GPU: with the rows of a step, its context, the queue, an edited prompt, beams.

`plots.py` draws the first two. peers: `transformers`' own `generate` for some of them.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from nbllm import LLM, BeamSearchParams

from . import gpu_transformers
from .fields import TOKENS, params, step
from .gpu import KV_BYTES, LONG, SHAPES, VOCAB, greedy, random_prompts, seconds, write_folder

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTEXTS = (128, 512, 2000, 7900, 32000)
"""Tokens in the cache of one row."""
PEERS = (1, 8, 32, 128)
"""Rows that `transformers` is given."""
QUEUED = (10, 100, 1000)
SEATS, SHORT = 16, 24
"""Requests that run at a time where others queue, and the tokens that each makes."""
EDITED = 24
"""Tokens at the end of a prompt that are others the next time."""


def run(name: str, peers: bool = False) -> Iterator[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory() as folder:
        write_folder(name, Path(folder))
        how = {"load_format": "dummy", "kv_cache_memory_bytes": KV_BYTES, "device": "cuda"}
        with LLM(folder, **how) as llm:
            for case, figure, unit in _of_one(llm):
                yield f"{name}, {case}", figure, unit
        with LLM(folder, max_num_seqs=SEATS, **how) as llm:
            for case, figure, unit in _queue(llm):
                yield f"{name}, {case}", figure, unit
        if peers:
            for case, figure, unit in _transformers(
                folder, SHAPES[name]["max_position_embeddings"]
            ):
                yield f"{name}, {case}, transformers", figure, unit


def _of_one(llm: LLM) -> Iterator[tuple[str, float, str]]:
    for rows in ROWS:
        took = step(llm, rows, [params(temperature=0)] * rows, 1000)
        yield _of_rows(rows), took * 1e3, "ms"
    for length in CONTEXTS:
        if length + TOKENS <= llm.max_model_len:
            took = step(llm, 1, [params(temperature=0)], length)
            yield _at(length), took * 1e3, "ms"
    if llm.max_model_len >= 8000:
        yield "first token of 7,900, the end edited", _edited(llm) * 1e3, "ms"
    for width, count in ((4, 1), (4, 4), (4, 16), (4, 32), (8, 16), (16, 16)):
        prompts = [{"prompt_token_ids": p} for p in random_prompts(count, 128, 128, 2)]
        search = BeamSearchParams(beam_width=width, max_tokens=64, ignore_eos=True)
        # many short prompts are captured when they come again
        took = seconds(llm, lambda p=prompts, q=search: llm.beam_search(p, q), 3, before=2)
        yield f"beams {width} x {count}, a step", took / 64 * 1e3, "ms"


def _of_rows(rows: int) -> str:
    return f"a step of {rows} rows at 1,000 tokens"


def _at(length: int) -> str:
    return f"a step at {length} tokens"


def _transformers(folder: str, longest: int) -> Iterator[tuple[str, float, str]]:
    """A step is what more tokens take, by their number."""
    model = gpu_transformers.build(folder, "cuda")

    def took(rows: int, length: int, few: int = 4, many: int = 36) -> float:
        prompts = random_prompts(rows, length, length, 1)
        each = [
            gpu_transformers.seconds(lambda n=n: gpu_transformers.generate(model, prompts, n))
            for n in (few, many)
        ]
        return (each[1] - each[0]) / (many - few) * 1e3

    for rows in PEERS:
        yield _of_rows(rows), took(rows, 1000), "ms"
    for length in CONTEXTS:
        if length + TOKENS <= longest:
            yield _at(length), took(1, length), "ms"


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
    # sizes of short prompts are captured when they come again
    for seed in (1, 2):
        warm = random_prompts(SEATS * QUEUED[0], 64, 64, seed)
        llm.generate(warm, greedy(SHORT), use_tqdm=False)
    for queued in QUEUED:
        prompts, times = random_prompts(SEATS * queued, 64, 64, queued), []
        # short runs several times, since a host that is busy for a moment weighs more there
        for _ in range(max(1, QUEUED[-1] // queued // 3)):
            llm.reset_prefix_cache()
            begin = time.perf_counter()
            llm.generate(prompts, greedy(SHORT), use_tqdm=False)
            times.append(time.perf_counter() - begin)
        tokens = len(prompts) * SHORT
        yield (
            f"{queued} prompts for each of {SEATS} rows",
            tokens / statistics.median(times),
            "tokens/s",
        )
