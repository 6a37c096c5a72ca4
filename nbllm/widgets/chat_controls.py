"""The upper half of a Chat: which conversation, its system prompt and template, and the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import ipywidgets
from ipywidgets import Layout

from .fields import Quiet, described, row

USUAL = "the usual one"
NARROW = {"description_width": "initial"}


class ChatControls(Quiet):
    """Each calls its function with what somebody has typed or chosen; `show` calls none.

    settings: controls of `SamplingParams`, which are behind a button, like the template. lock: held by
    whoever calls `show`, since a page may say something in another thread.
    """

    def __init__(
        self,
        settings: Iterable[ipywidgets.Widget],
        templates: Iterable[str],
        lock: AbstractContextManager[Any],
        *,
        choose: Callable[[str], Any],
        begin: Callable[[str], Any],
        system: Callable[[str], Any],
        template: Callable[[str], Any],
    ):
        self.name = ipywidgets.Dropdown(
            description="conversation", options=[(USUAL, "")], style=NARROW
        )
        self.new_name = ipywidgets.Text(
            description="new", placeholder="name", style=NARROW, layout=Layout(width="12em")
        )
        self.new = ipywidgets.Button(
            description="begin", tooltip="begin another conversation", layout=Layout(width="5em")
        )
        self.tokens = _switch("tokens", "shade every token by its probability")
        self.trim = _switch("trim", "leave out the oldest messages when they do not fit")
        self.more = ipywidgets.ToggleButton(description="settings", layout=Layout(width="7em"))
        self.system, self.template = _system(), _template(templates)
        self.bar = row(self.name, self.new_name, self.new, self.tokens, self.trim, self.more)
        self.settings = ipywidgets.VBox([row(self.template), *settings])
        self.settings.layout.display = "none"
        self.more.observe(self._toggle, "value")
        self._lock = lock
        self.new.on_click(lambda _: begin(self.new_name.value))
        for field, call in ((self.name, choose), (self.system, system), (self.template, template)):
            field.observe(partial(self._changed, call), "value")

    @property
    def boxes(self) -> list[ipywidgets.Widget]:
        """From top to bottom."""
        return [self.bar, self.system, self.settings]

    def show(self, names: Iterable[str], name: str, system: str, template: str) -> None:
        """Which conversations there are, which one is shown, and what belongs to it."""
        with self.quiet():
            options = [(each or USUAL, each) for each in dict.fromkeys(["", *names, name])]
            if list(self.name.options) != options:
                self.name.options = options
            self.name.value, self.system.value, self.template.value = name, system, template

    def _changed(self, call: Callable[[str], Any], change: Any) -> None:
        with self._lock:
            shown = self._quiet
        if not shown:
            call(change.new)

    def _toggle(self, change: Any) -> None:
        self.settings.layout.display = "" if change.new else "none"


def _system() -> ipywidgets.Textarea:
    field = ipywidgets.Textarea(
        description="system", rows=1, placeholder="what the model is told first",
        continuous_update=False, style=NARROW, layout=Layout(width="100%"),
    )  # fmt: skip
    field.add_class("nbllm-system")
    return field


def _template(known: Iterable[str]) -> ipywidgets.Combobox:
    return described(
        ipywidgets.Combobox, "template", placeholder="the model's own", options=tuple(known),
        tooltip="a template that the model knows, a file, or the text", continuous_update=False,
    )  # fmt: skip


def _switch(name: str, tip: str) -> ipywidgets.Checkbox:
    layout = Layout(width="6em")
    return ipywidgets.Checkbox(description=name, indent=False, tooltip=tip, layout=layout)
