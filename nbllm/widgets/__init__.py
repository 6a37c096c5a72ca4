"""Widgets: exploring prompts by hand, in a notebook.

    panel.py     what every widget is: controls and a view, and what is left of them
    view.py      the part that its own ES module draws ── modules.py, js/, css/
    runs.py      its runs, in the background ── loop.py
    controls.py  controls of SamplingParams

Each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .beam_explorer import BeamExplorer
    from .chat import Chat
    from .engine_status import EngineStatus
    from .playground import Playground
    from .prompt_grid import PromptGrid
    from .token_explorer import TokenExplorer

_HOME = {
    "BeamExplorer": "beam_explorer",
    "Chat": "chat",
    "EngineStatus": "engine_status",
    "Playground": "playground",
    "PromptGrid": "prompt_grid",
    "TokenExplorer": "token_explorer",
}

__all__ = ["BeamExplorer", "Chat", "EngineStatus", "Playground", "PromptGrid", "TokenExplorer"]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
