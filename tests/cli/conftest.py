"""Commands find no model that another test has loaded, and take none away."""

import pytest

from nbllm import resident


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.setattr(resident, "_llms", {})
    monkeypatch.setattr(resident, "_current", None)
