"""What the magics add: to one token, to a stream of them, to a long list of prompts.

Both sides run turn by turn in one process; times are medians, differences and ratios are of medians.
CPU time beside the time on the clock tells what the magic does from what a busy machine does. "shown"
has no name: its views are made and sent as JSON, as a kernel does. Alone everything runs on the bundled
model; with --model only what a stream costs, on random weights of that shape.
"""

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
from IPython.core.interactiveshell import InteractiveShell

from nbllm import LLM, SamplingParams, resident

from .gpu import write_folder

ROUNDS = 200
ROWS, FEWER_ROWS = 10_000, 2_000
TURNS = 3
STREAMED = 256


class Sink:
    """Where a kernel's messages go; they are made, as there."""

    def __init__(self):
        self.count = 0

    def publish(self, **content) -> None:
        self.count += len(json.dumps(content))


def shell() -> InteractiveShell:
    ip = InteractiveShell.instance()
    ip.history_manager.enabled = False
    ip.run_line_magic("load_ext", "nbllm")
    ip.display_pub.publish = Sink().publish
    # a shell with a kernel shows a run while it runs
    ip.kernel = object()
    return ip


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of this process's CPU time."""
    begin, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - begin, time.process_time() - cpu


def alternately(first, second, rounds: int) -> list[tuple[float, float]]:
    """(median of the first, of the second): on the clock, then of CPU time."""
    first(), second()
    times = [(timed(first), timed(second)) for _ in range(rounds)]
    return [
        tuple(statistics.median(each[side][kind] for each in times) for side in (0, 1))
        for kind in (0, 1)
    ]


def overhead(ip, llm) -> Iterator[tuple[str, float, str]]:
    """What `%%generate` adds to `LLM.generate` for one token."""
    params, cell = SamplingParams(max_tokens=1, temperature=0), "Once upon a time\n"

    def shown() -> None:
        result = ip.run_cell_magic("generate", "-m 1 -t 0", cell)
        data, metadata = ip.display_formatter.format(result)
        ip.display_pub.publish(data=data, metadata=metadata)

    magics = {"out": lambda: ip.run_cell_magic("generate", "out -m 1 -t 0", cell), "shown": shown}
    for name, magic in magics.items():
        plain = lambda: llm.generate(cell, params, use_tqdm=False)  # noqa: E731
        for kind, (ours, theirs) in zip(
            ("", ", CPU"), alternately(magic, plain, ROUNDS), strict=True
        ):
            what = f"%%generate {name}, one token, more than LLM.generate{kind}"
            yield what, (ours - theirs) * 1e3, "ms"


def streaming(ip, llm) -> Iterator[tuple[str, float, str]]:
    """Throughput of a cell that shows its text while it is made."""
    params = SamplingParams(max_tokens=STREAMED, temperature=0, ignore_eos=True)
    line = f"out -m {STREAMED} -t 0 --ignore-eos"
    magic = lambda: ip.run_cell_magic("generate", line, "Once upon a time\n")  # noqa: E731
    plain = lambda: llm.generate("Once upon a time", params, use_tqdm=False)  # noqa: E731
    for kind, (ours, theirs) in zip(("", ", CPU"), alternately(magic, plain, 15), strict=True):
        yield (
            f"batch 1 x {STREAMED}, streamed, throughput of LLM.generate{kind}",
            theirs / ours,
            "x",
        )


def rss() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


def long_run(ip, llm, count: int) -> tuple[float, float, float]:
    """(throughput relative to `LLM.generate` on the same list, the same by CPU time, MiB more at the end)."""
    ip.user_ns["rows"] = pd.DataFrame({"x": [f"Row {i}: there was a" for i in range(count)]})
    texts = ip.user_ns["rows"].x.tolist()
    params = SamplingParams(max_tokens=8, seed=1, ignore_eos=True)
    line = "out --over rows -m 8 --seed 1 --ignore-eos --temperature 1 --top-k 0 --top-p 1 --fresh"

    def magic() -> None:
        llm.reset_prefix_cache()
        ip.run_cell_magic("generate", line, "{{ x }}\n")

    def plain() -> None:
        llm.reset_prefix_cache()
        llm.generate(texts, params, use_tqdm=False)

    clock, cpu = alternately(magic, plain, TURNS)
    before = rss()
    magic()
    grown = rss() - before
    assert len(ip.user_ns["out"]) == count
    return clock[1] / clock[0], cpu[1] / cpu[0], grown


def run(model: str | None = None) -> Iterator[tuple[str, float, str]]:
    ip = shell()
    if model is not None:
        with tempfile.TemporaryDirectory() as folder:
            write_folder(model, Path(folder))
            llm = resident.load(LLM(folder, load_format="dummy"))
            yield from ((f"{model}, {what}", *rest) for what, *rest in streaming(ip, llm))
            resident.unload()
        return
    llm = resident.load("tiny")
    yield from overhead(ip, llm)
    yield from streaming(ip, llm)
    for count in (FEWER_ROWS, ROWS):
        ratio, cpu, grown = long_run(ip, llm, count)
        what = f"--over {count:,} rows x 8"
        yield f"{what}, throughput of LLM.generate", ratio, "x"
        yield f"{what}, throughput of LLM.generate, CPU", cpu, "x"
        yield f"{what}, more memory after another run", grown, "MiB"
    resident.unload()
