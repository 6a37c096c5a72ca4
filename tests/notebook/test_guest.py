"""nbllm is a guest in the user's kernel: using it changes nothing but what the user asked for."""

import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings

import numpy
import pandas
import pytest
import torch

from nbllm import resident

OUR_MAGICS = ("generate", "chat", "beam", "score", "choose", "compare", "nbllm")
OURS = {"out", "_", "__", "___", "_i", "_ii", "_iii", "_oh", "_dh", "_ih", "Out", "In"}


def snapshot(shell) -> dict[str, object]:
    manager = shell.magics_manager
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "torch's random state": torch.get_rng_state().tolist(),
        "numpy's random state": numpy.random.get_state()[1].tolist(),
        "python's random state": random.getstate(),
        "autograd": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "threads of torch": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "matmul precision": torch.get_float32_matmul_precision(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "threads": {thread.name for thread in threading.enumerate()},
        "logging": (logging.root.level, list(logging.root.handlers), logging.root.disabled),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "hooks": (sys.excepthook, sys.displayhook, sys.unraisablehook, threading.excepthook),
        "environment": dict(os.environ),
        "working directory": os.getcwd(),
        "sys.path": list(sys.path),
        "warning filters": list(warnings.filters),
        "pandas options": pandas.describe_option(_print_desc=False),
        "formatters": {
            name: (dict(f.type_printers), dict(f.deferred_printers))
            for name, f in shell.display_formatter.formatters.items()
        },
        "tracebacks": (shell.custom_exceptions, shell.CustomTB),
        "names": set(shell.user_ns) - OURS - {n for n in shell.user_ns if n[:2] == "_i"},
        "input transformers": list(shell.input_transformers_post),
        "events": {name: list(calls) for name, calls in shell.events.callbacks.items()},
        "completion": [str(matcher) for matcher in shell.Completer.matchers],
        "configurables": list(shell.configurables),
        "magics": {
            kind: {n: f for n, f in names.items() if n in OUR_MAGICS}
            for kind, names in manager.magics.items()
        },
        "registry": "Nbllm" in dict(manager.registry),
    }


def snapshot_of_gpu() -> dict[str, object]:
    return {
        "device": torch.cuda.current_device(),
        "stream": torch.cuda.current_stream(),
        "random state": torch.cuda.get_rng_state().tolist(),
        "memory": torch.cuda.memory_allocated(),
        "memory fraction": torch.cuda.get_per_process_memory_fraction(),
        "allocator": torch.cuda.get_allocator_backend(),
        "autocast": torch.is_autocast_enabled("cuda"),
        "tf32": (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
        "half-precision sums": (
            torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
        ),
        "attention": (
            torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(),
            torch.backends.cuda.math_sdp_enabled(),
        ),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "sync debug": torch.cuda.get_sync_debug_mode(),
    }


def use(shell, device: str) -> None:
    shell.user_ns["frame"] = pandas.DataFrame({"x": ["a", "b"]})
    for source in (
        f"%nbllm load tiny --device {device}",
        "%%generate out -n 2 -m 3 --over frame --logprobs 2\nhello {{ x }}",
        "%chat -m 3 hello",
        "%generate --over nothing hello",
        "%%beam -w 2 -m 3 --over frame\nhello {{ x }}",
        "%%score --over frame\nhello {{ x }}",
        "%%choose --over frame -c ' a' -c ' b'\nhello {{ x }}",
        "%%compare -m 3 --setting 'a -t 0' --setting 'b --width 2'\nhello",
        "%generate -m 2 --regex '[a-z]+' --grid seed=1..3 hello",
        "%chat --retry -m 2",
        "import nbllm; print(nbllm.replay(nbllm.last)); del nbllm",
        "%nbllm models",
        "%nbllm config",
        "%nbllm reset",
        "%nbllm status",
        "%nbllm sleep",
        "%generate -m 2 awake again",
        "out",
    ):
        shell.run_cell(source)
    assert len(shell.user_ns["out"]) == 4
    assert resident.current().info().device.startswith(device)
    shell.run_cell("%nbllm unload")
    del shell.user_ns["frame"]


def changes(before: dict, after: dict) -> dict:
    return {what: (before[what], after[what]) for what in before if before[what] != after[what]}


def test_using_it_leaves_no_trace(bare_shell, capsys):
    shell = bare_shell
    # IPython's own first times
    shell.run_cell("%unload_ext never_loaded\n1")
    before = snapshot(shell)
    shell.run_line_magic("load_ext", "nbllm")
    use(shell, "cpu")
    shell.run_line_magic("unload_ext", "nbllm")
    assert changes(before, snapshot(shell)) == {}


@pytest.mark.gpu
@pytest.mark.timeout(900)
def test_using_a_gpu_leaves_no_trace(bare_shell, capsys):
    shell = bare_shell
    shell.run_cell("%unload_ext never_loaded\n1")
    shell.run_line_magic("load_ext", "nbllm")
    # the first use compiles kernels, and the driver keeps their code
    use(shell, "cuda")
    shell.run_line_magic("unload_ext", "nbllm")
    mine = torch.randn(1 << 20, device="cuda")
    with torch.cuda.stream(torch.cuda.Stream()):
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.synchronize()
        before, free = {**snapshot(shell), **snapshot_of_gpu()}, torch.cuda.mem_get_info()[0]
        total = mine.double().sum().item()
        shell.run_line_magic("load_ext", "nbllm")
        use(shell, "cuda")
        shell.run_line_magic("unload_ext", "nbllm")
        gc.collect()
        torch.cuda.synchronize()
        assert changes(before, {**snapshot(shell), **snapshot_of_gpu()}) == {}
        # every byte is back, without the user's own empty_cache()
        assert torch.cuda.mem_get_info()[0] >= free - (4 << 20)
    assert mine.double().sum().item() == total


@pytest.fixture(autouse=True)
def _nothing_stays():
    yield
    resident.unload()
