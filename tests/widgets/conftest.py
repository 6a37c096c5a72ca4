"""Widgets without a kernel: their comms go nowhere, what they display is kept."""

import atexit

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from nbllm import resident


@pytest.fixture
def published(monkeypatch):
    """What was displayed: (display id, whether it is an update, data, metadata)."""
    shown = []

    def publish(data, metadata=None, *, transient=None, update=False, **_):
        shown.append((transient["display_id"], update, data, metadata))

    monkeypatch.setattr("nbllm.widgets.panel.publish_display_data", publish)
    return shown


@pytest.fixture
def resident_llm(llm, monkeypatch):
    """The tiny random model, as the current one."""
    return current("tiny-llama", llm, monkeypatch)


@pytest.fixture
def resident_ascii_llm(ascii_llm, monkeypatch):
    """A tiny random model whose text is ASCII and whose context is 256 tokens, as the current one."""
    return current("ascii", ascii_llm, monkeypatch)


def current(name, llm, monkeypatch):
    monkeypatch.setattr(resident, "_llms", {name: llm})
    monkeypatch.setattr(resident, "_current", name)
    monkeypatch.setattr(resident, "_last", None)
    return llm


@pytest.fixture
def shell(resident_ascii_llm, monkeypatch, tmp_path):
    """A shell with the magics, over that model."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    config = Config()
    config.HistoryManager.enabled = False  # its file is gone when the process ends
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "nbllm")
    yield shell
    shell.run_line_magic("unload_ext", "nbllm")
    InteractiveShell.clear_instance()
    atexit.unregister(shell.atexit_operations)  # hundreds of shells take minutes to end together
