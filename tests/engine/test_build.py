"""Which device and which type of numbers, on GPUs that are not at hand too."""

import pytest
import torch

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
