"""Errors nbllm raises. Each says what is wrong, what was given and what to do.

    NbllmError
    ├── ParamError             (ValueError)           a sampling parameter or option is out of range
    ├── PromptError            (ValueError)           a prompt is empty, too long or outside the vocabulary
    ├── TemplateError          (ValueError)           a chat template is missing or fails
    ├── ModelError             (ValueError)           a model cannot be found, read or run
    │   └── UnsupportedModelError                     nbllm's own code for it lacks something
    ├── OutOfMemoryError       (MemoryError)          the GPU, or the KV cache, cannot hold what was asked
    ├── NoModelError           (LookupError)          nothing is loaded
    └── ClosedError            (RuntimeError)         the LLM was closed
    GenerationInterrupted      (KeyboardInterrupt)    carries what was made before the interrupt

In a notebook each prints as one line, without a traceback, and still fails the cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .outputs import RequestOutput


class _OneLine:
    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class NbllmError(_OneLine, Exception):
    """Any error that nbllm expects and explains."""


class ParamError(NbllmError, ValueError):
    """A sampling parameter or an option is out of range or contradicts another."""


class PromptError(NbllmError, ValueError):
    """A prompt is empty, does not fit the context, or holds an id outside the vocabulary."""


class TemplateError(NbllmError, ValueError):
    """A chat template is missing, or fails on the messages it was given."""


class ModelError(NbllmError, ValueError):
    """A model cannot be found, read or run."""


class UnsupportedModelError(ModelError):
    """nbllm has no code of its own for a model, or for what its config.json asks for."""


class OutOfMemoryError(NbllmError, MemoryError):
    """The GPU, or the KV cache, cannot hold what was asked for, even with nothing else in it.

    Says what is needed, what is free and what to change; the `LLM` goes on working.
    """


class NoModelError(NbllmError, LookupError):
    """`current()` was called with nothing loaded."""


class ClosedError(NbllmError, RuntimeError):
    """The LLM was closed; its weights and KV cache are gone."""


class GenerationInterrupted(_OneLine, KeyboardInterrupt):
    """Ctrl-C, or the notebook's interrupt, during a generation.

    `outputs` holds a `RequestOutput`, or a `BeamSearchOutput`, for every prompt: finished ones as they
    are, the others with the text, or the best sequences, so far and `finish_reason="abort"`. It derives from `KeyboardInterrupt` alone, so that
    `except Exception` never swallows a Ctrl-C.
    """

    def __init__(self, outputs: Sequence[RequestOutput] = (), message: str | None = None):
        self.outputs = list(outputs)
        done = sum(output.finished and not output.aborted for output in self.outputs)
        super().__init__(message or f"interrupted: {how_far(done, len(self.outputs))}")


def how_far(done: int, total: int) -> str:
    """How much there is."""
    rest = ", the rest is partial" if done < total else ""
    return f"{done:,} of {total:,} prompts finished{rest}"


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """`"; did you mean 'x'?"` when a known name is near, else the empty string."""
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
