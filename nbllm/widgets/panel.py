"""What every widget is: controls and a view in a box, with a static view that outlives them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import ipywidgets
from IPython.display import publish_display_data
from ipywidgets import Widget
from traitlets import Unicode

from .. import resident
from ..errors import NbllmError
from .loop import loop
from .runs import Runs
from .view import Actions, View, answered_where_asked

if TYPE_CHECKING:
    from ..llm import LLM

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class Panel(ipywidgets.VBox):
    """A subclass makes its view and its controls and says what is left of them: `static`.

    model: the loaded model that it uses, by name; None: the current one. error: what it shows as its
    error; empty for none.
    """

    view: Any
    model = Unicode(None, allow_none=True, help="a loaded model's name; None: the current one")

    def __init__(self, view: View, **traits: Any):
        self.view, self.runs = view, Runs()
        self._displays: list[str] = []
        super().__init__(**traits)
        self._parts: list[Widget] = [*_family(view), *_family(self)]
        for name in ("nbllm-panel", f"nbllm-{type(self).__name__.lower()}"):
            self.add_class(name)
        view.panel_id = self.model_id

    def arrange(self, *controls: Widget) -> None:
        """Put the controls above the view."""
        self.children = (*controls, self.view)
        for child in self.children:
            self.tie(child)

    @property
    def error(self) -> str:
        return self.view.error

    def static(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is left when it is closed: a mime bundle without scripts, and its metadata."""
        raise NotImplementedError

    def tie(self, widget: Widget) -> None:
        """Make a widget a part of this one: heard at once, and closed with it."""
        for each in _family(widget):
            answered_where_asked(each)
            self._parts.append(each)

    def llm(self) -> LLM:
        """The model; the bundled one is loaded where there is none, and the note says so."""
        return resident.current_or_bundled(self.model, partial(setattr, self.view, "note"))

    def loaded(self) -> LLM:
        """As `llm`, for constructors: where that raises, no widget is left."""
        try:
            return self.llm()
        except BaseException:
            self.close()
            raise

    def attempt(self, wish: Callable[..., Any], /, *args: Any, **fields: Any) -> Any:
        """Call what a user wishes. What goes wrong is shown: an exception here would reach nobody."""
        self.view.error = ""
        try:
            return wish(*args, **fields)
        except Exception as error:
            self.fail(error)

    def in_background(self, actions: Actions) -> Actions:
        """The same actions, attempted in a thread: for what takes its time or waits for the engine."""

        def later(action: Callable[..., Any], /, **fields: Any) -> None:
            asyncio.run_coroutine_threadsafe(
                asyncio.to_thread(self.attempt, action, **fields), loop()
            )

        return {name: partial(later, action) for name, action in actions.items()}

    def fail(self, error: Exception) -> None:
        """Show an error: one line if nbllm expects it, with its type otherwise."""
        expected = isinstance(error, NbllmError)
        self.view.error = str(error) if expected else f"{type(error).__name__}: {error}"

    def keep(self) -> None:
        """Let a saved notebook have what is shown now; to be called when that has changed."""
        data, metadata = self.static()
        self.view.stand_in = {"data": data, "metadata": metadata}

    def close(self) -> None:
        """End what runs, and leave the static view in every place where it was displayed."""
        self.runs.drop()
        displays, self._displays = self._displays, []
        if displays:
            data, metadata = self.static()
            for display in displays:
                publish_display_data(data, metadata, transient={"display_id": display}, update=True)
        for part in self._parts:
            if part is not self:
                part.close()
        super().close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def _ipython_display_(self, **_: Any) -> None:
        data, metadata = self.static()
        live = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        self._displays.append(uuid4().hex)
        self.view.stand_in = {"data": data, "metadata": metadata}
        publish_display_data(
            {**data, WIDGET_VIEW: live}, metadata, transient={"display_id": self._displays[-1]}
        )


def _family(widget: Widget) -> list[Widget]:
    """The widget and all that is in it."""
    inside = getattr(widget, "children", ())
    own = [getattr(widget, name) for name in ("layout", "style") if hasattr(widget, name)]
    return [widget, *own, *(each for child in inside for each in _family(child))]
