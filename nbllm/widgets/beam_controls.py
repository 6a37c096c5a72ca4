"""The upper half of a beam explorer: the prompt, and the parameters that are changed by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ipywidgets
from ipywidgets import Layout

from ..sampling_params import BeamSearchParams
from .fields import Quiet, described, row

WIDEST = 32
MOST_TOKENS = 4096
PENALTIES = (-2.0, 4.0)
"""What the sliders reach, or further where parameters do."""
LOOK = {"label": "8em", "width": "24em"}


class SearchControls(Quiet):
    """text: the prompt's field. box: the sliders. buttons: search and stop.

    changed: called after every change of a parameter that somebody makes. Parameters without a control
    stay as they are in `params`; of num_return_sequences there are at most as many as beams.
    """

    def __init__(
        self,
        params: BeamSearchParams,
        *,
        changed: Callable[[], None],
        search: Callable[[], None],
        stop: Callable[[], None],
    ):
        self._changed = changed
        self.text = ipywidgets.Textarea(description="prompt", rows=2, layout=Layout(width="100%"))
        self.text.add_class("nbllm-prompt")
        self.width = described(ipywidgets.IntSlider, "beam_width", min=1, max=WIDEST, **LOOK)
        low, high = PENALTIES
        self.penalty = described(
            ipywidgets.FloatSlider, "length_penalty", min=low, max=high, step=0.1, **LOOK
        )
        self.max_tokens = described(
            ipywidgets.BoundedIntText, "max_tokens", min=1, max=MOST_TOKENS, **LOOK
        )
        self.box = row(self.width, self.penalty, self.max_tokens)
        self.search = ipywidgets.Button(description="Search", button_style="primary")
        self.stop = ipywidgets.Button(description="Stop")
        self.buttons = row(self.search, self.stop)
        self.params = params
        self.search.on_click(lambda _: search())
        self.stop.on_click(lambda _: stop())
        for control in (self.width, self.penalty, self.max_tokens):
            control.observe(self._on_change, "value")

    @property
    def params(self) -> BeamSearchParams:
        """What the controls say. Raises `ParamError` for what does not go together."""
        width, returned = self.width.value, self._params.num_return_sequences
        return replace(
            self._params,
            beam_width=width,
            # 0.1 + 0.2 is not 0.3
            length_penalty=round(self.penalty.value, 6),
            max_tokens=self.max_tokens.value,
            num_return_sequences=returned and min(returned, width),
        )

    @params.setter
    def params(self, params: BeamSearchParams) -> None:
        self._params = params.clone()
        with self.quiet():
            _set(self.width, params.beam_width)
            _set(self.penalty, params.length_penalty)
            _set(self.max_tokens, params.max_tokens)

    def _on_change(self, _: Any) -> None:
        if not self._quiet:
            self._changed()


def _set(control: Any, value: float) -> None:
    control.min, control.max = min(control.min, value), max(control.max, value)
    control.value = value
