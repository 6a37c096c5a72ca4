"""nbllm: a laboratory for language models in a Jupyter kernel.

`%load_ext nbllm` adds the magics; `nbllm.LLM` is the offline API. Importing nbllm takes
milliseconds: every name below is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import widgets
    from .frames import to_frame
    from .llm import LLM
    from .outputs import BeamSearchOutput, CompletionOutput, Logprob, RequestOutput
    from .replays import replay
    from .resident import current, last, load, unload
    from .sampling_params import BeamSearchParams, SamplingParams, StructuredOutputsParams

__version__ = "0.1.0"

_HOME = {
    "LLM": "llm",
    "SamplingParams": "sampling_params",
    "BeamSearchParams": "sampling_params",
    "StructuredOutputsParams": "sampling_params",
    "RequestOutput": "outputs",
    "CompletionOutput": "outputs",
    "BeamSearchOutput": "outputs",
    "Logprob": "outputs",
    "load": "resident",
    "current": "resident",
    "unload": "resident",
    "replay": "replays",
    "to_frame": "frames",
}

__all__ = [
    "LLM",
    "BeamSearchOutput",
    "BeamSearchParams",
    "CompletionOutput",
    "Logprob",
    "RequestOutput",
    "SamplingParams",
    "StructuredOutputsParams",
    "current",
    "last",
    "load",
    "load_ipython_extension",
    "replay",
    "to_frame",
    "unload",
    "unload_ipython_extension",
    "widgets",
]


def __getattr__(name: str):
    if name == "last":
        # changes with every run of a magic, so it is read afresh and never stored here
        return import_module(".resident", __name__).last()
    if name == "widgets":
        return import_module(".widgets", __name__)
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def load_ipython_extension(shell) -> None:
    """Called by `%load_ext nbllm`."""
    from .notebook import load_ipython_extension

    load_ipython_extension(shell)


def unload_ipython_extension(shell) -> None:
    """Called by `%unload_ext nbllm`: restores everything that loading changed."""
    from .notebook import unload_ipython_extension

    unload_ipython_extension(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where `jupyter-builder develop` finds the built extension."""
    return [{"src": "labextension", "dest": "nbllm"}]
