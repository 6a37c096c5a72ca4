"""The models of this kernel. The only module of nbllm that keeps global state."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

from .errors import ModelError, NoModelError, did_you_mean

if TYPE_CHECKING:
    from .llm import LLM

_llms: dict[str, LLM] = {}
_current: str | None = None
_last: Any = None
_bundled = Lock()


def load(model: Any = "tiny", tokenizer: Any = None, *, name: str | None = None, **options) -> LLM:
    """Load `model` and make it the one that magics and widgets use.

    model: what `LLM` takes (a name, a folder, a transformers model object), or an `LLM`.
    tokenizer: a name, a folder or a fast tokenizer; a model object needs one. name: what it is called here (default: the model's name);
    a model already loaded under that name is closed first. Without `name` every other resident
    model is closed too, so that a kernel holds one model unless it asks for more.
    options: passed to `LLM`. Raises whatever `LLM` raises; then nothing is loaded or closed.

    >>> nbllm.load("tiny", max_model_len=512).max_model_len
    512
    """
    global _current
    from .llm import LLM

    if tokenizer is not None:
        options["tokenizer"] = tokenizer
    if isinstance(model, LLM):
        if options:
            given = ", ".join(options)
            raise ModelError(f"options go to LLM(...) itself, this one is already built: {given}")
        llm = model
    else:
        llm = LLM(model, **options)
    known = name or llm.name
    for other in [n for n in _llms if _llms[n] is not llm and (n == known or name is None)]:
        _llms.pop(other).close()
    _llms[known], _current = llm, known
    return llm


def current(name: str | None = None) -> LLM:
    """The LLM that magics use, or the one called `name`. Raises `NoModelError`.

    >>> nbllm.load("tiny") is nbllm.current()
    True
    """
    if name is not None and name not in _llms:
        loaded = ", ".join(_llms) or "none"
        raise NoModelError(
            f"no model called {name!r} is loaded (loaded: {loaded}){did_you_mean(name, list(_llms))}"
        )
    chosen = name or _current
    if chosen is None or chosen not in _llms:
        raise NoModelError("no model is loaded; nbllm.load() or %nbllm load MODEL loads one")
    return _llms[chosen]


def current_or_bundled(name: str | None, say: Callable[[str], Any]) -> LLM:
    """As `current`; where nothing at all is loaded the bundled model is, and `say` gets a line about it.

    What widgets and magics use. Several of them may ask at once, from threads: it is loaded once.
    """
    with _bundled:
        try:
            return current(name)
        except NoModelError:
            if name or _llms:
                raise
        llm = load()
    say(
        f"no model was loaded: this is {llm.name!r}, the bundled one; %nbllm load MODEL loads another"
    )
    return llm


def use(name: str) -> LLM:
    """Make the resident model called `name` the current one. Raises `NoModelError`."""
    global _current
    llm, _current = current(name), name
    return llm


def loaded() -> dict[str, LLM]:
    """Every resident model by name."""
    return dict(_llms)


def unload(name: str | None = None) -> None:
    """Close the model called `name`, or all of them. Unloading nothing is no error.

    >>> nbllm.unload()
    >>> nbllm.current()
    Traceback (most recent call last):
    nbllm.errors.NoModelError: no model is loaded; nbllm.load() or %nbllm load MODEL loads one
    """
    global _current
    if name is not None:
        current(name)
    for gone in [name] if name is not None else list(_llms):
        _llms.pop(gone).close()
    if _current not in _llms:
        _current = next(reversed(_llms), None)


def last() -> Any:
    """The result of the latest magic or widget run in this kernel; None before the first."""
    return _last


def remember(result: Any) -> None:
    """Keep `result` as `nbllm.last`."""
    global _last
    _last = result
