"""What the magics add: to one token, and to the throughput and memory of a long list of prompts.

Both sides run turn by turn in one process on the bundled model; times are medians, the difference and
the ratio are of medians.
"""

import statistics
import time
from collections.abc import Iterator

import pandas as pd
from IPython.core.interactiveshell import InteractiveShell

from nbllm import SamplingParams, resident

ROUNDS = 200
ROWS = 10_000
TURNS = 3


def seconds(call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def shell() -> InteractiveShell:
    ip = InteractiveShell.instance()
    ip.history_manager.enabled = False
    ip.run_line_magic("load_ext", "nbllm")
    ip.display_pub.publish = lambda **content: None
    return ip


def overhead(ip, llm) -> float:
    """Seconds that `%%generate` adds to `LLM.generate` for one token."""
    params = SamplingParams(max_tokens=1, temperature=0)
    magic = lambda: ip.run_cell_magic("generate", "out -m 1 -t 0", "Once upon a time\n")  # noqa: E731
    plain = lambda: llm.generate("Once upon a time", params, use_tqdm=False)  # noqa: E731
    magic(), plain()
    times = [(seconds(magic), seconds(plain)) for _ in range(ROUNDS)]
    first, second = (statistics.median(each) for each in zip(*times, strict=True))
    return first - second


def throughput(ip, llm) -> float:
    """Throughput of `--over` relative to `LLM.generate` on the same list."""
    frame = pd.DataFrame({"x": [f"Row {i}: there was a" for i in range(ROWS)]})
    ip.user_ns["rows"] = frame
    params = SamplingParams(max_tokens=8, seed=1, ignore_eos=True)
    line = "out --over rows -m 8 --seed 1 --ignore-eos --temperature 1 --top-k 0 --top-p 1 --fresh"
    times = []
    for _ in range(TURNS):
        llm.reset_prefix_cache()
        ours = seconds(lambda: ip.run_cell_magic("generate", line, "{{ x }}\n"))
        llm.reset_prefix_cache()
        times.append((ours, seconds(lambda: llm.generate(frame.x, params, use_tqdm=False))))
        assert len(ip.user_ns["out"]) == ROWS
    first, second = (statistics.median(each) for each in zip(*times, strict=True))
    return second / first


def run() -> Iterator[tuple[str, float, str]]:
    ip, llm = shell(), resident.load("tiny")
    yield "%%generate, one token, more than LLM.generate", overhead(ip, llm) * 1e3, "ms"
    yield f"--over {ROWS:,} rows x 8, throughput of LLM.generate", throughput(ip, llm), "x"
    resident.unload()
