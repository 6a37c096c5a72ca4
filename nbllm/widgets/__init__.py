"""Widgets: exploring prompts by hand, in a notebook.

    panel.py     what every widget is: controls and a view, and what is left of them ─┐
    view.py      the part that its own ES module draws ── modules.py, js/, css/       ├── playground.py
    runs.py      its runs, in the background ── loop.py                               ├── engine_status.py
    controls.py  controls of SamplingParams                                           ├── prompt_grid.py
    grid/        cells, columns, order, choices, files                               ─┘

Each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine_status import EngineStatus
    from .playground import Playground
    from .prompt_grid import PromptGrid

_HOME = {
    "EngineStatus": "engine_status",
    "Playground": "playground",
    "PromptGrid": "prompt_grid",
}

__all__ = ["EngineStatus", "Playground", "PromptGrid"]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
