"""LLMs with the runner of a GPU: its twin everywhere, on a GPU itself."""

import pytest
import torch

from nbllm import LLM
from nbllm.engine import build
from nbllm.engine.cuda_runner import CudaRunner

GPU = pytest.param("cuda", marks=pytest.mark.gpu)


@pytest.fixture(params=["cpu", GPU])
def where(request):
    """Where the runner under test is."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return request.param


@pytest.fixture
def open_llm(where, monkeypatch):
    """f(folder, **options) -> an `LLM` with the runner of a GPU."""

    def make(folder, **options) -> LLM:
        with monkeypatch.context() as patch:
            if where == "cpu":
                patch.setattr(build, "has_kernels", lambda kv: True)
            llm = LLM(folder, device=where, **options)
        assert isinstance(llm.engine.runner, CudaRunner)
        return llm

    return make


@pytest.fixture(scope="module")
def on_cpu(llama):
    with LLM(llama[0], device="cpu") as llm:
        yield llm
