"""The upper half of a playground: the prompt, its variables, and what starts a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
from ipywidgets import Layout, Widget

from .fields import row


class Prompt:
    """The prompt's field, and one for each variable in it. fields: name → the text's widget.

    added: called with the widgets that have just been made.
    """

    def __init__(self, added: Callable[[Widget], None]):
        self.text = ipywidgets.Textarea(description="prompt", rows=4, layout=Layout(width="100%"))
        self.text.add_class("nbllm-prompt")
        self.box = row()
        self.fields: dict[str, ipywidgets.Text] = {}
        self._known: dict[str, ipywidgets.Text] = {}
        self._added = added

    def offer(
        self, names: Sequence[str], values: Mapping[str, str], changed: Callable[[Any], None]
    ) -> None:
        """Show a field for each of these names. One that was there before has its text again."""
        for name in names:
            if name not in self._known:
                field = ipywidgets.Text(description=name, value=values.get(name, ""))
                field.observe(changed, "value")
                self._added(field)
                self._known[name] = field
        self.fields = {name: self._known[name] for name in names}
        self.box.children = tuple(self.fields.values())

    @property
    def values(self) -> dict[str, str]:
        """name → text."""
        return {name: field.value for name, field in self.fields.items()}

    @values.setter
    def values(self, values: Mapping[str, str]) -> None:
        for name, field in self.fields.items():
            field.value = values.get(name, field.value)


class Buttons:
    """Run, stop, and whether every change runs by itself; and the one that shows more settings."""

    def __init__(self, more: ipywidgets.Box, *, run: Callable[[], None], stop: Callable[[], None]):
        self.run = ipywidgets.Button(description="Run", button_style="primary")
        self.stop = ipywidgets.Button(description="Stop")
        self.live = ipywidgets.Checkbox(
            description="live", indent=False, tooltip="run after every change"
        )
        self.live.layout.width = "5em"
        self.more = ipywidgets.ToggleButton(description="more settings")
        self.box = row(self.run, self.stop, self.live, self.more)
        self.run.on_click(lambda _: run())
        self.stop.on_click(lambda _: stop())
        more.layout.display = "none"
        self.more.observe(lambda c: _show(more, c.new), "value")


def _show(widget: Any, shown: bool) -> None:
    widget.layout.display = "" if shown else "none"
