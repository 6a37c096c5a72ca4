"""The files of one grid: nothing in one is lost because somebody pressed a button."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...errors import ParamError
from . import saved
from .cells import Cells
from .choices import Duels


class Files:
    """Which files hold this grid, and what in them does not belong to it."""

    def __init__(self):
        self._known: dict[Path, saved.Restored | None] = {}

    def save(self, path: Path, cells: Cells, duels: Duels, *, overwrite: bool) -> None:
        """Write it all. Raises `ParamError` where that cannot be, or, without `overwrite`, where
        something would be gone."""
        if not overwrite:
            self._refuse_to_lose(path)
        try:
            saved.write(path, cells, duels.values())
        except OSError as error:
            raise ParamError(f"{path} cannot be written: {error.strerror}") from None
        self._known[path.resolve()] = None

    def restore(
        self, path: Path, cells: Cells, duels: Duels, models: Mapping[int, str]
    ) -> saved.Restored:
        """As `saved.restore`."""
        found = self._known[path.resolve()] = saved.restore(path, cells, duels, models)
        return found

    def _refuse_to_lose(self, path: Path) -> None:
        there = path.resolve()
        if path.exists() and there not in self._known:
            raise ParamError(f"{path} is there already: load it first, or choose another name")
        found = self._known.get(there)
        if found is not None and found.unmatched:
            raise ParamError(
                f"{path} holds {len(found.unmatched):,} cells that did not match, and they would be "
                "gone: choose another name"
            )
