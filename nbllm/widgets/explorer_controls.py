"""The upper half of a token explorer: the prompt, and what begins a tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets
from ipywidgets import Layout

from .fields import row

Press = Callable[[], Any]


class ExplorerControls:
    """prompt: its field. box: buttons that generate, score, stop, and show more settings."""

    def __init__(self, more: ipywidgets.Box, *, generate: Press, score: Press, stop: Press):
        self.prompt = ipywidgets.Textarea(description="prompt", rows=3, layout=Layout(width="100%"))
        self.prompt.add_class("nbllm-prompt")
        settings = ipywidgets.ToggleButton(description="more settings")
        buttons = [
            _button("Generate", generate, "go on from the prompt", button_style="primary"),
            _button("Score text", score, "show how likely the tokens of this text are"),
            _button("Stop", stop, "end what runs, and keep what it has made"),
        ]
        self.box = row(*buttons, settings)
        more.layout.display = "none"
        settings.observe(
            lambda c: setattr(more.layout, "display", "" if c.new else "none"), "value"
        )


def _button(text: str, press: Press, tip: str, **traits: Any) -> ipywidgets.Button:
    button = ipywidgets.Button(description=text, tooltip=tip, **traits)
    button.on_click(lambda _: press())
    return button
