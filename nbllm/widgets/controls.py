"""Controls of the fields of `SamplingParams`, with the ranges that they have there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets

from ..errors import ParamError
from ..sampling_params import RANGES, SamplingParams
from ..templating import escaped, unescaped
from .fields import Quiet, described, row

STEP = 0.01
MOST_COMPLETIONS = 64
ALTERNATIVES = 5
"""What is asked for where the parameters ask for no log-probabilities."""


@dataclass(kw_only=True, frozen=True)
class Control:
    """A widget whose value is a field. read: the field from the value; write: the other way."""

    widget: Any
    read: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] = lambda value: value


class SamplingControls(Quiet):
    """main, more: the controls of what is changed often, and of the rest, in boxes.

    max_tokens: of a sequence; max_logprobs: of the model, −1 for no limit. changed: called after every
    change that somebody makes. Fields without a control stay as they are in `params`.
    """

    def __init__(
        self,
        params: SamplingParams,
        *,
        max_tokens: int,
        max_logprobs: int,
        changed: Callable[[], None],
    ):
        self._params, self._changed = params, changed
        most = max_logprobs if max_logprobs >= 0 else 20
        self.controls = {
            "temperature": _number("temperature"),
            "top_p": _number("top_p"),
            "top_k": _count("top_k", 0, 10**6, tip="0 keeps all", write=lambda k: max(k, 0)),
            "min_p": _number("min_p"),
            "max_tokens": _count("max_tokens", 1, max_tokens, write=lambda m: m or max_tokens),
            "n": _count("n", 1, MOST_COMPLETIONS),
            "seed": _seed(),
            "logprobs": _count(
                "logprobs", 0, most, tip="the likeliest tokens at each position",
                write=lambda k: min(ALTERNATIVES if k is None else k, most),
            ),
            "presence_penalty": _number("presence_penalty"),
            "frequency_penalty": _number("frequency_penalty"),
            "repetition_penalty": _number("repetition_penalty"),
            "min_tokens": _count("min_tokens", 0, max_tokens),
            "stop": _lines("stop"),
            "bad_words": _lines("bad_words"),
            "ignore_eos": _switch("ignore_eos"),
        }  # fmt: skip
        self.params = params
        for control in self.controls.values():
            control.widget.observe(self._on_change, "value")
        names = list(self.controls)
        self.main, self.more = self._box(names[:8]), self._box(names[8:])

    @property
    def params(self) -> SamplingParams:
        """What the controls say. Raises `ParamError` for what does not go together."""
        values = {name: c.read(c.widget.value) for name, c in self.controls.items()}
        return replace(self._params, **values)

    @params.setter
    def params(self, params: SamplingParams) -> None:
        self._params = params.clone()
        with self.quiet():
            for name, control in self.controls.items():
                control.widget.value = control.write(getattr(params, name))

    def _on_change(self, _: Any) -> None:
        if not self._quiet:
            self._changed()

    def _box(self, names: list[str]) -> ipywidgets.Box:
        return row(*(self.controls[name].widget for name in names))


def _number(name: str) -> Control:
    low, high = RANGES[name]
    # too wide for a slider
    if high > 100:
        return Control(widget=described(ipywidgets.FloatText, name, step=0.05))
    # 0 itself is not in the range of top_p
    least = STEP if name == "top_p" else low
    slider = ipywidgets.FloatSlider
    widget = described(slider, name, value=high, min=least, max=high, step=STEP)
    # pages count in steps, and come to 0.9000000000000001
    return Control(widget=widget, read=lambda value: round(value, 9))


def _count(
    name: str,
    low: int,
    high: int,
    *,
    tip: str = "",
    write: Callable[[Any], Any] = lambda value: value,
) -> Control:
    make = ipywidgets.BoundedIntText
    widget = described(make, name, min=low, max=high, value=low, tooltip=tip or None)
    return Control(widget=widget, write=lambda value: min(write(value), high))


def _seed() -> Control:
    widget = described(ipywidgets.Text, "seed", placeholder="another each time")
    return Control(widget=widget, read=_read_seed, write=lambda s: "" if s is None else str(s))


def _read_seed(text: str) -> int | None:
    try:
        return int(text) if text.strip() else None
    except ValueError:
        raise ParamError(f"seed must be a whole number, or empty, got {text!r}") from None


def _lines(name: str) -> Control:
    """Texts, one a line."""
    widget = described(
        ipywidgets.Textarea,
        name,
        rows=2,
        placeholder="one a line",
        tooltip=r"one a line; \n is a newline",
    )
    return Control(
        widget=widget,
        read=lambda text: [unescaped(line) for line in text.split("\n") if line] or None,
        write=lambda texts: "\n".join(map(escaped, texts or ())),
    )


def _switch(name: str) -> Control:
    return Control(widget=described(ipywidgets.Checkbox, name))
