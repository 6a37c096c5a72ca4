"""The bundled model, and the engine that generates with it."""

from pathlib import Path

import pytest

import nbllm.assets

FOLDER = Path(nbllm.assets.__path__[0]) / "tiny"


@pytest.fixture(scope="session")
def folder() -> Path:
    """The folder of the bundled model."""
    return FOLDER


@pytest.fixture(scope="session")
def engine():
    """The one place that says which engine the evaluation runs on."""
    from nbllm.assets.recipe.engine import TransformersEngine

    return TransformersEngine(FOLDER)
