"""nbllm is a guest in the user's process: using it changes nothing that the user can see."""

import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings
import weakref

import numpy as np
import torch

from nbllm import LLM, SamplingParams, StructuredOutputsParams

REGEX = StructuredOutputsParams(regex="[a-d]{5}")


def snapshot() -> dict:
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "torch rng": torch.get_rng_state().tolist(),
        "numpy rng": np.random.get_state()[1].tolist(),
        "python rng": random.getstate(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "threads": torch.get_num_threads(),
        "matmul": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "logging": (logging.root.level, list(logging.root.handlers)),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "excepthook": sys.excepthook,
        "environ": dict(os.environ),
        "warnings": list(warnings.filters),
        "running threads": threading.active_count(),
    }


def test_leaves_no_trace(llama):
    LLM(llama[0]).close()  # imports, which may do as they like, are done
    before = snapshot()
    with LLM(llama[0]) as llm:
        during = snapshot()
        llm.generate(["a", "b"], SamplingParams(n=2, max_tokens=4, top_p=0.9), use_tqdm=False)
        llm.generate("a", SamplingParams(structured_outputs=REGEX), use_tqdm=False)
    after = snapshot()
    assert {k for k in before if before[k] != during[k]} == set()
    assert {k for k in before if before[k] != after[k]} == set()


def tensors() -> dict[int, torch.Tensor]:
    gc.collect()
    return {id(o): o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)}


def test_close_frees_every_tensor(llama):
    known = tensors()
    llm = LLM(llama[0])
    cache = weakref.ref(llm.engine.runner.kv)
    weights = [weakref.ref(p) for p in llm.engine.runner.model.parameters()]
    llm.generate("a", SamplingParams(max_tokens=3, logprobs=2), use_tqdm=False)
    llm.generate("a", SamplingParams(structured_outputs=REGEX), use_tqdm=False)
    llm.close()
    assert cache() is None
    assert not [w for w in weights if w() is not None]
    assert not [t.shape for i, t in tensors().items() if i not in known]


def test_close_in_the_middle_of_a_stream(llama):
    llm = LLM(llama[0])
    stream = llm.stream("a", SamplingParams(max_tokens=50, ignore_eos=True))
    next(stream)
    llm.close()
    rest = list(stream)
    assert all(o.outputs[0].finish_reason == "abort" for o in rest)
    llm.close()
