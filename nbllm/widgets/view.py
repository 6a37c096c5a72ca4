"""The part of a widget that its own ES module draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anywidget
from ipywidgets import Widget
from traitlets import Dict, Unicode

Actions = Mapping[str, Callable[..., Any]]


class View(anywidget.AnyWidget):
    """What is shown is in traits, which only Python sets; what a user does arrives as a message
    {"action": name, …}, whose other fields are the arguments of that action.

    error: shown first, empty for none. note: a line about what is going on. panel_id: the model of the
    widget it belongs to. stand_in: the bundle that a saved notebook has in its place.
    """

    error = Unicode().tag(sync=True)
    note = Unicode().tag(sync=True)
    panel_id = Unicode().tag(sync=True)
    stand_in = Dict().tag(sync=True)

    def __init__(self, actions: Actions, **traits: Any):
        super().__init__(**traits)
        self._actions = dict(actions)
        self.on_msg(self._act)

    def _act(self, _: Widget, content: Any, buffers: Any) -> None:
        # a message comes from a page: what is no action is none of ours
        fields = dict(content) if isinstance(content, dict) else {}
        if (action := self._actions.get(fields.pop("action", None))) is not None:
            action(**fields)


def answered_where_asked(widget: Widget) -> None:
    """Let messages of the page be handled where the page sends them.

    ipykernel 7.4 sends what a page says about a widget to the shell that last spoke to that widget: one
    made by a cell would not hear a click before the cells that run have ended. JupyterLab names a
    subshell of its own, which is free.
    """
    comm: Any = widget.comm
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default
