"""A model starts while its weights arrive; an interrupt anywhere on the way leaves nothing behind."""

import gc
import os
import signal
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
import torch
from interrupting import InterruptAtLine
from tiny_models import write_model

from nbllm import LLM, SamplingParams
from nbllm.engine import build, cuda_runner, engine, graphs, kv_memory, runner, sleep, start
from nbllm.engine.runner import Runner
from nbllm.models import checkpoint, fill, layers, llama, load, sources, stream

GREEDY = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
PARTS = (load, fill, stream, sources, checkpoint, layers, llama, start, build, runner, engine)
FILES = {m.__file__ for m in (*PARTS, sys.modules[LLM.__module__])}
CLOSES = FILES | {m.__file__ for m in (cuda_runner, graphs, kv_memory, sleep)}


def left_behind() -> tuple[int, int, int]:
    """Living threads, open files, tensors."""
    gc.collect()
    count = sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())
    files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    return threading.active_count(), files, count


def interrupted(folder, at: int) -> BaseException | None:
    """Load, with an interrupt at the n-th line of our own; what was raised."""
    llm = None
    try:
        with InterruptAtLine(at, FILES):
            llm = LLM(folder)
    except KeyboardInterrupt as error:
        return error
    finally:
        if llm is not None:
            llm.close()
    return None


def check_interrupts(folder, every: int) -> None:
    """Interrupt a load at every n-th line; it leaves nothing behind."""
    LLM(folder).close()
    with InterruptAtLine(-1, FILES) as count:
        llm = LLM(folder)
    llm.close()
    del llm
    lines = -1 - count.left
    assert lines > 500
    gc.collect()
    gc.freeze()  # what was there before does not have to be looked at again and again
    try:
        before = left_behind()
        for at in range(1, lines, every):
            error = interrupted(folder, at)  # kept, as a notebook keeps its last one
            if error is None:  # waiting for a thread took fewer lines than when they were counted
                assert lines - at < 100, f"line {at} of {lines}"
                break
            assert left_behind() == before, f"line {at} of {lines}"
    finally:
        gc.unfreeze()


def test_interrupts_while_loading(llama):
    check_interrupts(llama[0], every=61)


@pytest.mark.slow
def test_interrupts_at_many_lines(llama):
    check_interrupts(llama[0], every=3)


def test_an_interrupted_close_has_closed(llama):
    """Wherever it comes, nothing stays with the error that is kept."""

    def closed(at: int) -> tuple[BaseException | None, int]:
        llm = LLM(llama[0])
        llm.generate([[1, 2, 3]], GREEDY, use_tqdm=False)
        kept = None
        with InterruptAtLine(at, CLOSES) as count:
            try:
                llm.close()
            except KeyboardInterrupt as error:
                kept = error
        if not llm.engine.closed:  # it had not begun
            llm.close()
        return kept, count.left

    closed(-1)
    lines, before = -1 - closed(-1)[1], left_behind()
    assert lines > 20
    for at in range(1, lines + 1):
        error, _ = closed(at)
        assert error is not None
        assert left_behind() == before, f"line {at} of {lines}"


def test_the_engine_is_made_while_weights_arrive(llama, monkeypatch):
    """What warms up runs before the weights are there, on zeros, and may take its time."""
    seen = []
    for kind in (Runner, cuda_runner.CudaRunner):
        monkeypatch.setattr(
            kind, "warm_up", lambda self: seen.append([*map(float, self.model.norm_sums())])
        )
    monkeypatch.setattr(
        load.model_class("LlamaForCausalLM"),
        "norm_sums",
        lambda self: [p.abs().sum() for n, p in self.named_parameters() if "norm" in n],
        raising=False,
    )
    slow = stream.Carrier.carry
    monkeypatch.setattr(
        stream.Carrier, "carry", lambda self, job: (time.sleep(0.01), slow(self, job))
    )
    with LLM(llama[0]) as llm:
        assert len(seen) == 1
        assert 0.0 in seen[0]
        assert all(llm.engine.runner.model.norm_sums())


def test_what_a_thread_raises_is_raised(llama, monkeypatch):
    before = left_behind()
    monkeypatch.setattr(
        stream.Carrier, "copy", lambda self, stored, target: (_ for _ in ()).throw(OSError("gone"))
    )
    with pytest.raises(OSError, match="gone"):
        LLM(llama[0], device="cpu")
    assert left_behind() == before


class Half:
    """A model that is only half made."""


def test_frames_are_let_go_but_not_somebody_elses(llama, monkeypatch):
    """Nothing of a failed load stays with its error; what is handled meanwhile keeps its own."""
    made = []

    def broken(*_, **__):
        half = Half()
        made.append(weakref.ref(half))
        raise KeyError("inner")

    def fails(*_, **__):
        try:
            broken()
        except KeyError:
            raise ValueError("no engine") from None

    def mine():
        local = "mine"
        raise LookupError(local)

    monkeypatch.setattr("nbllm.engine.start.new_engine", fails)
    try:
        mine()
    except LookupError as handled:
        with pytest.raises(ValueError, match="no engine") as caught:
            LLM(llama[0], device="cpu")
        assert caught.value.__context__ is not None
        kept = dict(handled.__traceback__.tb_next.tb_frame.f_locals)
    gc.collect()
    assert made[0]() is None
    assert kept == {"local": "mine"}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, torch.OutOfMemoryError])
def test_nothing_stays_that_a_function_closes_over(llama, monkeypatch, kind):
    """A frame that was cleared has its function, which has its cells."""
    made = []

    def ended(*_, **__):
        half = Half()
        made.append(weakref.ref(half))

        def inner():
            raise kind(half is None)

        inner()

    monkeypatch.setattr("nbllm.engine.start.new_engine", ended)
    with pytest.raises(kind) as caught:
        LLM(llama[0], device="cpu")
    gc.collect()
    assert made[0]() is None
    assert len(caught.traceback) == 1  # where it was called


def test_an_interrupt_does_not_wait_for_a_close_that_has_not_begun(llama):
    llm = LLM(llama[0], device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llm.engine, "close", interrupt)
        with pytest.raises(KeyboardInterrupt):
            llm.close()
    assert llm.engine.runner.model is not None
    llm.close()
    assert not hasattr(llm.engine.runner, "model")


def interrupt():
    raise KeyboardInterrupt


def test_a_file_that_becomes_shorter(tmp_path):
    write_model("llama", tmp_path)
    found = checkpoint.Checkpoint.open(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    network = load.build(load.read_config(tmp_path), torch.float32, torch.device("cpu"))
    with (
        load.stream(network, found.tensors, tmp_path) as weights,
        pytest.raises(load.ModelError, match="became shorter while it was read"),
    ):
        weights.wait()


@pytest.mark.gpu
def test_interrupts_while_loading_to_a_gpu(tmp_path):
    """A real signal, at any moment of a load of some GiB: threads and memory come back."""
    from bench.gpu import write_folder
    from bench.start import write_weights

    write_folder("qwen3-0.6b", tmp_path)
    write_weights("qwen3-0.6b", tmp_path)
    with LLM(tmp_path, device="cuda") as llm:
        llm.generate([[1, 2, 3]], GREEDY, use_tqdm=False)
    begin = time.perf_counter()
    LLM(tmp_path, device="cuda").close()
    whole = time.perf_counter() - begin
    torch.cuda.synchronize()
    before, free = left_behind(), torch.cuda.mem_get_info()[0]
    for i in range(12):
        timer = threading.Timer(whole * i / 12, signal.raise_signal, [signal.SIGINT])
        timer.start()
        try:
            LLM(tmp_path, device="cuda").close()
            timer.join()
        except KeyboardInterrupt as error:
            kept = error  # noqa: F841 - as a notebook does
        timer.join()
        torch.cuda.synchronize()
        assert left_behind() == before, i
        assert torch.cuda.mem_get_info()[0] >= free - (4 << 20), i
    with LLM(tmp_path, device="cuda") as llm:
        assert len(llm.generate([[1, 2, 3]], GREEDY, use_tqdm=False)[0].outputs[0].token_ids) == 4
