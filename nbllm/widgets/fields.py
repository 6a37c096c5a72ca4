"""What the controls of every panel are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets
from ipywidgets import Layout, Widget


class Quiet:
    """Tells changes that somebody makes from those of a program."""

    _quiet = False

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Changes in here are no user's."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before


def row(*widgets: Widget) -> ipywidgets.Box:
    """Controls beside each other, and below where there is no room."""
    box = ipywidgets.Box(widgets)
    box.add_class("nbllm-controls")
    return box


def described(
    make: Callable[..., Widget],
    name: str,
    *,
    label: str = "10em",
    width: str = "22em",
    **traits: Any,
) -> Any:
    """A control with its name before it. label: as wide as the longest name, so that columns line up."""
    return make(
        description=name,
        style={"description_width": label},
        layout=Layout(width=width, max_width="100%"),
        **traits,
    )
