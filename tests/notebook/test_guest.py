"""nbllm is a guest in the user's kernel: using it changes nothing but what the user asked for."""

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


def use(shell) -> None:
    shell.user_ns["frame"] = pandas.DataFrame({"x": ["a", "b"]})
    for source in (
        "%nbllm load tiny",
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
        "out",
    ):
        shell.run_cell(source)
    assert len(shell.user_ns["out"]) == 4
    shell.run_cell("%nbllm unload")
    del shell.user_ns["frame"]


def test_using_it_leaves_no_trace(bare_shell, capsys):
    shell = bare_shell
    # IPython's own first times
    shell.run_cell("%unload_ext never_loaded\n1")
    before = snapshot(shell)
    shell.run_line_magic("load_ext", "nbllm")
    use(shell)
    shell.run_line_magic("unload_ext", "nbllm")
    after = snapshot(shell)
    changed = {what: (before[what], after[what]) for what in before if before[what] != after[what]}
    assert changed == {}


@pytest.fixture(autouse=True)
def _nothing_stays():
    yield
    resident.unload()
