"""The bundled model, for examples."""

import pytest


@pytest.fixture(scope="module")
def tiny():
    """On a CPU, so that examples say the same on every machine."""
    from nbllm import LLM

    with LLM("tiny", device="cpu") as llm:
        yield llm
