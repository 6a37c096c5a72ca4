"""These tests run kernels: on the GPU if there is one, else under Triton's interpreter.

Triton asks for TRITON_INTERPRET when it is imported, and everything after it in the process is then
interpreted. So on a CPU the tests run in a process of their own, started by test_interpreter.py;
`TRITON_INTERPRET=1 pytest tests/kernels` runs them directly.
"""

import os

import pytest
import torch

DIRECT = torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1"


def pytest_ignore_collect(collection_path):
    """test_interpreter.py stands for all others where they cannot run; else it is not needed."""
    if not collection_path.name.startswith("test_"):
        return None
    stand_in = collection_path.name == "test_interpreter.py"
    return stand_in if DIRECT else not stand_in


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
