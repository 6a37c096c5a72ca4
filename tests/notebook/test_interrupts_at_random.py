"""SIGINT to a real kernel at random moments: what there is is kept, the next cell works, nothing leaks."""

import random

import pytest
from real_kernel import load_line, running

pytestmark = pytest.mark.slow

CELLS = {
    "generate": "%%generate out -n 4 -m 200 --ignore-eos -l 2\nOnce upon a time",
    "chat": "%%chat --name NAME -m 200 --ignore-eos\nTell me a story.",
    "beam": "%%beam out -w 6 -m 200 --ignore-eos --quiet\nOnce upon a time",
    "over": "%%generate out --over rows -m 100 --ignore-eos\nrow {{ x }}",
}
ROUNDS = 50
IDLE = "(e.engine.num_unfinished, e.info().num_free_pages == e.info().num_pages)"
"""Whether nothing is left in the engine."""


SETUP = """\
%load_ext nbllm
LOAD
import os, signal, threading
import nbllm, pandas, psutil
e = nbllm.current()
rows = pandas.DataFrame({"x": [str(i) for i in range(600)]})
cell = [""]
events = get_ipython().events
events.register("pre_run_cell", lambda info: cell.__setitem__(0, info.raw_cell))
events.register("post_run_cell", lambda result: cell.__setitem__(0, ""))
def interrupt():  # of a prompt cell: between two cells ipykernel may lose a request over it
    if cell[0].startswith("%%") and "next cell" not in cell[0]:
        os.kill(os.getpid(), signal.SIGINT)
def later(s):
    t = threading.Timer(s, interrupt)
    t.daemon = True
    t.start()
"""


TWIN = "from nbllm.engine import build\nbuild.has_kernels = lambda kv: True\n"
"""The runner of a GPU, on a CPU."""
RSS = "psutil.Process().memory_info().rss / 2**20"
HELD = {
    "cpu": RSS,
    "twin": RSS,
    # of the whole card: whatever of it is ours
    "cuda": "(lambda free, total: total - free)(*__import__('torch').cuda.mem_get_info()) / 2**20",
}
"""MiB."""


@pytest.fixture(scope="module", params=["cpu", "twin", pytest.param("cuda", marks=pytest.mark.gpu)])
def where(request):
    return request.param


@pytest.fixture(scope="module")
def kernel(environment, where, tmp_path_factory):
    load = load_line("cpu" if where == "twin" else where, tmp_path_factory.mktemp("model"))
    load = TWIN + load if where == "twin" else load
    with running(environment, SETUP.replace("LOAD", load)) as kernel:
        yield kernel


@pytest.mark.timeout(1800)
def test_fifty_interrupts(kernel, where):
    moments, hit = random.Random(7), dict.fromkeys(CELLS, 0)
    for cell in CELLS.values():  # everything was used once, and is warm
        cell = cell.replace("NAME", "warm")
        if where != "cuda":  # there it is soon done, and the cache has grown once
            cell = cell.replace("200", "3").replace("-m 100", "-m 1")
        kernel.run(cell)
    before = float(kernel.value(HELD[where]))
    for i in range(ROUNDS):
        name, cell = list(CELLS.items())[i % len(CELLS)]
        delay = moments.uniform(0, 1.5)
        kernel.run(
            "%nbllm reset\nout, last, count = None, nbllm.last, e.engine.stats.num_generated\n"
            f"later({delay})"
        )
        reply, messages = kernel.run(cell.replace("NAME", f"talk{i}"))
        if reply["status"] == "ok":
            continue  # it was done before
        hit[name] += 1
        case = (i, name, delay)
        # before the magic has begun, or after it has ended, IPython has an interrupt like any other
        assert reply["ename"] in ("GenerationInterrupted", "KeyboardInterrupt"), (case, reply)
        generating = reply["ename"] == "GenerationInterrupted"
        # what was generated is never lost, whoever had the interrupt
        kept = "nbllm.last is not last or e.engine.stats.num_generated == count"
        assert kernel.value(kept) == "True", (case, reply)
        [error] = [m["content"] for m in messages if m["msg_type"] == "error"]
        assert not generating or len(error["traceback"]) == 1, case
        if generating and "before anything was generated" not in reply["evalue"]:
            kept = "nbllm.last.outputs[0].finished" if name == "chat" else "len(out) >= 1"
            assert kernel.value(kept) == "True", case
            if name == "over":
                assert kernel.value("(len(out), out.x.tolist() == rows.x.tolist())") == (
                    "(600, True)"
                ), case
        assert kernel.value(IDLE) == "(0, True)", case
        reply, messages = kernel.run("%%generate -m 2 --ignore-eos\nthe next cell works")
        assert reply["status"] == "ok", case
        [result] = [m["content"] for m in messages if m["msg_type"] == "execute_result"]
        assert result["metadata"]["nbllm"]["num_tokens"] == 2
    assert min(hit.values()) >= 5, hit
    after = float(kernel.value(HELD[where]))
    assert after < before + 150, (before, after)
