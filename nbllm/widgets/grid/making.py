"""The runs of a grid: who makes its cells, and what it takes to make them again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...errors import NoModelError, ParamError
from ...outputs import RequestOutput
from ...replays import Made, Recording
from ...results.provenance import Provenance, plain
from .cells import Cell, Cells
from .columns import Column
from .stream import possible, stream

if TYPE_CHECKING:
    from ...llm import LLM
    from ..runs import Stream


class Making:
    """provenance: of the latest run. find: the model of a column; raises `NoModelError`."""

    def __init__(self, cells: Cells, find: Callable[[Column], LLM]):
        self.cells, self.find = cells, find
        self.provenance: Provenance | None = None
        self._models: dict[int, str] = {}
        self._began = self._seconds = 0.0

    def begin(self, wanted: Sequence[Cell]) -> Stream:
        """Outputs of these cells, by their ids; those that cannot be sent get their error.

        Raises `NoModelError` where there is no model at all.
        """
        self._began = monotonic()
        llms = self._llms(wanted)
        infos = {place: llm.info() for place, llm in llms.items()}
        self._models = {place: info.fingerprint for place, info in infos.items()}
        self.provenance = Provenance.of(next(iter(infos.values())), {}, kind="compare")
        sendable = possible(self.cells, [cell for cell in wanted if cell.column in llms], llms)
        return stream(self.cells, sendable, llms)

    def take(self, outputs: Iterable[RequestOutput]) -> list[Cell]:
        """The cells that these outputs are of, with what they have become."""
        changed = []
        for output in outputs:
            row, column = map(int, output.request_id.split("-"))
            cell = self.cells.table[row][column]
            cell.made, cell.model = output.outputs[0], self._models[column]
            changed.append(cell)
        return changed

    def end(self) -> None:
        """The run has ended."""
        if self._began:
            self._seconds += monotonic() - self._began
        self._began = 0.0

    def recording(self) -> Recording:
        """What `nbllm.replay` needs. Raises `ParamError` for several models, or before a run."""
        made = [cell for cell in self.cells if cell.made is not None]
        if self.provenance is None or len({cell.model for cell in made}) > 1:
            raise ParamError("what one model made can be replayed: run one at a time")
        return Recording(
            kind="compare",
            model=self.provenance.model,
            requests=[self.cells.prompts[cell.row] for cell in made],
            params=[self.cells.columns[cell.column].params.clone() for cell in made],
            expected=[[Made.of(cell.made)] for cell in made if cell.made],
        )

    def record(self, rows: Iterable[int]) -> dict[str, Any]:
        """Metadata with which these rows can be made again; nothing where they cannot."""
        cells = [cell for row in rows for cell in self.cells.table[row]]
        whole = all(cell.made for cell in cells) and len({cell.model for cell in cells}) == 1
        if self.provenance is None or not whole:
            return {}
        told = {c.name: plain(c.params, defaults=False) for c in self.cells.columns}
        provenance = replace(self.provenance, params={"settings": told})
        count = sum(len(cell.made.token_ids) for cell in cells if cell.made)
        return {"nbllm": provenance.metadata(self._seconds, count)}

    def _llms(self, wanted: Sequence[Cell]) -> dict[int, LLM]:
        """By the place of the column; a column without its model has that as its cells' error."""
        llms: dict[int, LLM] = {}
        missing: dict[int, NoModelError] = {}
        for place in sorted({cell.column for cell in wanted}):
            try:
                llms[place] = self.find(self.cells.columns[place])
            except NoModelError as error:
                missing[place] = error
        if not llms:
            raise next(iter(missing.values()))
        for cell in wanted:
            if cell.column in missing:
                cell.error = str(missing[cell.column])
        return llms
