"""Hundreds of streams at once, a tenth of which hang up, beside cells that go on working."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clients import idle, soon

from nbllm import SamplingParams

PROMPTS = [
    "Once upon a time", "The capital of France is", "2 + 3 =", "Tell me", "A fox and a dog",
    "English: The dog sleeps.\nFrench:", "Review: a dull film.\nSentiment:", "After Friday comes",
]  # fmt: skip
CLIENTS = Path(__file__).parents[1] / "many_clients.py"


def params_of(llm, body):
    given = {name: value for name, value in body.items() if name != "prompt"}
    return SamplingParams(top_p=llm.get_default_sampling_params().top_p, **given)


def work(llm):
    """Requests, and what each of them has to get: seeded, so the same whoever else is there."""
    fields = {"temperature": 0.9, "ignore_eos": True}
    bodies = [
        {"prompt": prompt, "seed": seed, "max_tokens": 8 + 7 * seed, **fields}
        for prompt in PROMPTS
        for seed in (1, 2, 3, 4)
    ]
    # a stop string must not show, however far the next step is already
    bodies += [{**body, "stop": [" the ", ". "], "max_tokens": 60} for body in bodies[::4]]
    each = [params_of(llm, body) for body in bodies]
    outputs = llm.generate([b["prompt"] for b in bodies], each, use_tqdm=False)
    return [[b, o.outputs[0].text] for b, o in zip(bodies, outputs, strict=True)]


def resident_mib():
    """What this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.parametrize(
    ("clients", "seconds"),
    [(50, 4), pytest.param(200, 120, marks=[pytest.mark.slow, pytest.mark.timeout(400)])],
)
def test_many_clients(server, llm, clients, seconds):
    known = work(llm)
    # memory that the cache has from the beginning counts only when it is written to
    llm.reset_prefix_cache()
    llm.engine.runner.kv.fill_(0)
    told = {"host": server.host, "port": server.port, "clients": clients, "seconds": seconds,
            "hang_up": 0.1, "work": known}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, CLIENTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.stdin.write(json.dumps(told))
    process.stdin.close()
    begin, cells, memory = time.monotonic(), [], []
    while process.poll() is None:
        body, text = known[len(cells) % len(known)]
        begun = time.monotonic()
        [output] = llm.generate(body["prompt"], params_of(llm, body), use_tqdm=False)
        cells.append(time.monotonic() - begun)
        assert output.outputs[0].text == text
        memory.append((time.monotonic() - begin, resident_mib()))
        time.sleep(0.2)
    found = json.loads(process.stdout.read())
    print(found, f"{len(cells)} cells, the slowest {max(cells):.1f} s", memory[0], memory[-1])
    assert found["wrong"] == []
    assert found["finished"] >= clients
    assert found["hung up"] >= clients * 0.02
    assert len(cells) >= 3
    assert soon(lambda: idle(llm))
    # once everybody has been there, nothing grows
    settled = [mib for at, mib in memory if at > min(seconds / 2, 30)]
    assert settled[-1] - settled[0] < 16
