"""Which device and which type of numbers, on GPUs that are not at hand too."""

import os

import pytest
import torch

from nbllm import LLM
from nbllm.engine import build, host_memory
from nbllm.engine.build import pick_device, pick_dtype
from nbllm.errors import ParamError

TURING, HOPPER = (7, 5), (9, 0)


@pytest.fixture
def a_gpu(monkeypatch):
    """f(compute capability): there seems to be one such GPU."""

    def make(capability: tuple[int, int]) -> torch.device:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        return pick_device("auto")

    return make


@pytest.mark.parametrize(
    ("capability", "asked", "own", "found"),
    [
        (TURING, "auto", "bfloat16", torch.float16),
        (TURING, "auto", None, torch.float16),
        (TURING, "auto", "float32", torch.float32),
        (TURING, "float16", "bfloat16", torch.float16),
        (HOPPER, "auto", "bfloat16", torch.bfloat16),
        (HOPPER, "auto", "float16", torch.float16),
        (HOPPER, torch.bfloat16, "float32", torch.bfloat16),
    ],
)
def test_dtype_of_a_gpu(a_gpu, capability, asked, own, found):
    assert pick_dtype(asked, own, a_gpu(capability)) is found


def test_no_bfloat16(a_gpu):
    with pytest.raises(ParamError, match="'bfloat16' needs a GPU of compute"):
        pick_dtype("bfloat16", "bfloat16", a_gpu(TURING))


def test_too_old(a_gpu):
    with pytest.raises(ParamError, match=r"capability 6\.1; its kernels need 7\.5"):
        a_gpu((6, 1))


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({}, 16 << 30),
        ({"memory.max": "max\n"}, 16 << 30),
        ({"memory.max": f"{2 << 30}\n"}, 2 << 30),
        ({"memory.limit_in_bytes": f"{1 << 30}\n"}, 1 << 30),
        ({"memory.limit_in_bytes": "9223372036854771712\n"}, 16 << 30),
    ],
)
def test_memory_of_a_container(tmp_path, monkeypatch, limits, found):
    sizes = {"SC_PHYS_PAGES": 4 << 20, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    names = ("memory.max", "memory.limit_in_bytes")
    monkeypatch.setattr(host_memory, "LIMITS", [tmp_path / name for name in names])
    for name, text in limits.items():
        (tmp_path / name).write_text(text)
    assert host_memory.host_bytes() == found


def test_no_word_of_memory(monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setattr(host_memory, "LIMITS", [])
    assert host_memory.host_bytes() is None


@pytest.mark.parametrize(("there", "mib"), [(None, 1024), (64 << 30, 1024), (2 << 30, 256)])
def test_a_small_machine_has_a_small_cache(monkeypatch, there, mib):
    monkeypatch.setattr(build, "host_bytes", lambda: there)
    assert build.default_kv_bytes(torch.device("cpu")) == mib << 20
    assert build.default_kv_bytes(torch.device("cuda")) == 1 << 30


def test_an_engine_has_it(llama, monkeypatch):
    monkeypatch.setattr(build, "host_bytes", lambda: 8 << 20)
    with LLM(llama[0], device="cpu") as llm:
        assert abs(llm.info().kv_bytes - (1 << 20)) < 100_000
