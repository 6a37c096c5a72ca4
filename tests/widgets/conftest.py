"""Widgets without a kernel: their comms go nowhere, what they display is kept."""

import pytest


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
    from nbllm import resident

    monkeypatch.setattr(resident, "_llms", {"tiny-llama": llm})
    monkeypatch.setattr(resident, "_current", "tiny-llama")
    monkeypatch.setattr(resident, "_last", None)
    return llm
