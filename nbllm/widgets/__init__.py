"""Widgets: exploring prompts by hand, in a notebook.

    panel.py     what every widget is: controls and a view, and what is left of them ─┐
    view.py      the part that its own ES module draws ── modules.py, js/, css/       ├── playground.py
    runs.py      its runs, in the background ── loop.py                               ├── chat.py, engine_status.py
    controls.py  controls of SamplingParams                                          ─┘

Each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .chat import Chat
    from .engine_status import EngineStatus
    from .playground import Playground

_HOME = {"Chat": "chat", "EngineStatus": "engine_status", "Playground": "playground"}

__all__ = ["Chat", "EngineStatus", "Playground"]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
