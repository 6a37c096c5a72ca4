"""`EngineStatus`: what the engines of this kernel hold and do, while they do it."""

from __future__ import annotations

import asyncio
from html import escape
from threading import Lock
from typing import TYPE_CHECKING, Any

from traitlets import List

from .. import resident
from ..errors import NoModelError, ParamError
from ..views import status
from ..views.html import pre
from ..views.style import STYLE
from ..views.visible import visible
from .engine_data import Watched
from .loop import loop
from .modules import css, esm
from .panel import Panel
from .view import Actions, View

if TYPE_CHECKING:
    from ..llm import LLM

PERIOD = 0.5
"""Seconds between two looks."""


class EngineStatusView(View):
    """models: one record for each resident model, as `Watched.look` makes it."""

    _esm = esm("engine_status")
    _css = css("frame", "engine_status")
    models = List().tag(sync=True)

    def __init__(self, actions: Actions):
        # 0 and not None: pages count the views they have
        super().__init__(actions, _view_count=0)


class EngineStatus(Panel):
    """Every model of this kernel: its memory, KV cache, prefix cache and speed, and who runs; with
    buttons that stop them, and that put a model to sleep, wake it up or unload it.

    It looks twice a second while it is in view, and sends what has changed. It loads no model unless
    it is asked to. `models` has what it shows; `stop`, `sleep`, `wake`, `unload` and `load` are the buttons.
    """

    view: EngineStatusView

    def __init__(self):
        self._watched: dict[str, Watched] = {}
        self._looking, self._open = Lock(), True
        self._kept: list[Any] | None = None
        actions = {
            "stop": self.stop, "sleep": self.sleep, "wake": self.wake, "unload": self.unload,
            "load": self.load, "close": self.close,
        }  # fmt: skip
        super().__init__(EngineStatusView(self.in_background(actions)))
        self.arrange()
        self.view.observe(self._watch, "_view_count")
        self.look()

    @property
    def models(self) -> list[dict[str, Any]]:
        """One record for each model, as of the latest look; sizes in bytes, speeds in tokens/s."""
        return self.view.models

    def look(self) -> None:
        """Look now."""
        # one at a time, or a speed would be of no time at all
        with self._looking:
            loaded = resident.loaded()
            watched = {name: self._watched.get(name) for name in loaded}
            self._watched = {
                name: known if known and known.llm is loaded[name] else Watched(loaded[name])
                for name, known in watched.items()
            }
            current = _current()
            looks = [w.look(name, current=w.llm is current) for name, w in self._watched.items()]
            if self._open:
                self.view.models = [model for model in looks if model is not None]
                self._keep_if_new()

    def stop(self, model: str, call: str | None = None) -> None:
        """End a call, by its id, or everything that runs; whoever waits for it gets what there is."""
        llm = resident.current(model)
        ids = [call] if call else {r.request_id.partition("-")[0] for r in llm.requests()}
        for id in ids:
            llm.abort(id)
        self.look()

    def sleep(self, model: str) -> None:
        """Give the GPU's memory back until the model is used again. Raises `ParamError` while it is."""
        llm = resident.current(model)
        if running := llm.requests():
            what = "1 prompt runs" if len(running) == 1 else f"{len(running):,} prompts run"
            raise ParamError(f"{what}, which would wake {model} up at once: stop that first")
        llm.sleep()
        self.look()

    def wake(self, model: str) -> None:
        """Undo `sleep`."""
        resident.current(model).wake_up()
        self.look()

    def unload(self, model: str) -> None:
        """Free all of its memory; what runs ends with what there is."""
        resident.unload(model)
        self.look()

    def load(self) -> None:
        """Load the bundled model, if none is loaded."""
        resident.current_or_bundled(None, lambda line: None)
        self.look()

    def static(self) -> tuple[dict[str, Any], dict[str, Any]]:
        current = next((m["name"] for m in self.models if m["current"]), None)
        text = status.plain({"models": self.models, "current": current})
        html = f'<div class="nbllm"><style>{STYLE}</style>{pre(escape(visible(text)))}</div>'
        return {"text/plain": text, "text/html": html}, {}

    def close(self) -> None:
        self._open = False
        super().close()

    def _keep_if_new(self) -> None:
        """Not at every look: a saved notebook gets what it was when something had come to rest."""
        state = [
            (m["name"], m["asleep"], bool(m["calls"]), not m["calls"] and m["generation_tokens"])
            for m in self.models
        ]
        if state != self._kept:
            self._kept = state
            self.keep()

    def _watch(self, change: Any) -> None:
        if change.new and not change.old:
            asyncio.run_coroutine_threadsafe(self._look_again(), loop())

    async def _look_again(self) -> None:
        while self._open and self.view._view_count:
            try:
                await asyncio.to_thread(self.look)
            except Exception as error:
                self.fail(error)
            await asyncio.sleep(PERIOD)


def _current() -> LLM | None:
    try:
        return resident.current()
    except NoModelError:
        return None
