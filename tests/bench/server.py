"""The server's throughput with 64 clients, beside that of `LLM.generate` doing the same work.

The three ways take turns in one process: `generate`, whole answers, streamed ones. Each client sends
its next request when it has the answer to the last; at most 64 sequences run in all three. The clients
are a process of their own. Figures are medians of rounds, after one that does not count.
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from nbllm import LLM, SamplingParams, resident
from nbllm.entrypoints.openai import Server

from .gpu import write_folder

CLIENTS = Path(__file__).with_name("server_clients.py")
AT_ONCE = 64
ROUNDS = 3
KV_BYTES = 16 << 30
THREADS = {"nbllm-server": "CPU time of the event loop", "nbllm-pump": "CPU time of the steps"}


def bodies(llm: LLM, count: int, length: int, low: int, high: int) -> list[dict[str, Any]]:
    """Requests of random prompts and different lengths."""
    draw, vocab = random.Random(0), llm.config.vocab_size
    return [
        {
            "prompt": [draw.randrange(vocab) for _ in range(length)],
            "max_tokens": draw.randint(low, high),
            "temperature": 0.6,
            "top_p": 1.0,
            "seed": i,
            "ignore_eos": True,
        }
        for i in range(count)
    ]


def generate(llm: LLM, work: list[dict[str, Any]]) -> dict[str, float]:
    """What the clients print, of the same work without them."""
    params = [SamplingParams(**{name: b[name] for name in b if name != "prompt"}) for b in work]
    begun = time.perf_counter()
    outputs = llm.generate([b["prompt"] for b in work], params, use_tqdm=False)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "tokens": sum(len(o.outputs[0].token_ids) for o in outputs)}


def ask(server: Server, work: list[dict[str, Any]], stream: bool) -> dict[str, float]:
    """What came of it when 64 clients did it."""
    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    told = {
        "host": server.host, "port": server.port, "at_once": AT_ONCE,
        "bodies": [{**b, **more} for b in work],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, CLIENTS],
        input=json.dumps(told),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def cpu_seconds(name: str) -> float:
    """CPU time that this process's thread of that name has had."""
    [thread] = [t for t in threading.enumerate() if t.name == name]
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def run(name: str) -> Iterator[tuple[str, float, str]]:
    """name: a shape of `gpu`, with random weights; without a GPU it is the bundled model, "tiny"."""
    tiny = name == "tiny" or not torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as folder:
        if tiny:
            name, llm = "tiny", LLM(max_num_seqs=AT_ONCE)
            work = bodies(llm, 2 * AT_ONCE, 32, 16, 48)
        else:
            write_folder(name, Path(folder))
            llm = LLM(
                folder, load_format="dummy", kv_cache_memory_bytes=KV_BYTES, max_num_seqs=AT_ONCE
            )
            work = bodies(llm, 3 * AT_ONCE, 128, 128, 384)
        resident.load(llm, name=name)
        try:
            with Server(port=0) as server:
                yield from figures(name, llm, server, work)
        finally:
            resident.unload(name)


def figures(
    name: str, llm: LLM, server: Server, work: list[dict[str, Any]]
) -> Iterator[tuple[str, float, str]]:
    ways = {
        "LLM.generate": lambda: generate(llm, work),
        "server, whole": lambda: ask(server, work, stream=False),
        "server, streamed": lambda: ask(server, work, stream=True),
    }
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    last: dict[str, dict[str, float]] = {}
    spent: dict[str, float] = {}
    for turn in range(ROUNDS + 1):
        for way, do in ways.items():
            llm.reset_prefix_cache()
            before = {name: cpu_seconds(name) for name in THREADS if turn}
            last[way] = do()
            if turn:
                speeds[way].append(last[way]["tokens"] / last[way]["seconds"])
                spent = {name: cpu_seconds(name) - before[name] for name in THREADS}
    base = statistics.median(speeds["LLM.generate"])
    for way in ways:
        speed = statistics.median(speeds[way])
        yield f"{name}, {way}, {AT_ONCE} at once", speed, "tokens/s"
        if way != "LLM.generate":
            yield f"{name}, {way}, share of LLM.generate", 100 * speed / base, "%"
    streamed = last["server, streamed"]
    for thread, what in THREADS.items():
        yield f"{name}, streamed, {what}", 1e6 * spent[thread] / streamed["tokens"], "µs a token"
    yield f"{name}, tokens in an event", streamed["tokens"] / streamed["events"], "tokens"
    yield f"{name}, first event, median", 1e3 * streamed["first"], "ms"
