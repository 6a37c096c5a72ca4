"""`PromptGrid`: prompts × settings, to be read, sorted, rated and judged blind."""

from __future__ import annotations

from asyncio import TimerHandle
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .. import resident
from ..errors import NoModelError, ParamError
from ..outputs import RequestOutput
from ..replays import Recording
from ..sampling_params import SamplingParams
from .asked import defaults
from .binding import bind_frame
from .grid import frame, saved
from .grid.cells import Cell, Cells, checked_rating
from .grid.choices import Outcome
from .grid.columns import Column, column, columns
from .grid.files import Files
from .grid.judging import Judging
from .grid.making import Making
from .grid.order import Order
from .grid.rows import rows
from .grid.static import static
from .loop import loop
from .panel import Panel
from .prompt_grid_view import PromptGridView
from .runs import Stream

if TYPE_CHECKING:
    import pandas as pd

    from ..llm import LLM

NOTHING = "PromptGrid: nothing has been generated"
KEEP_AFTER = 1.0
"""Seconds after the last rating in which a saved notebook gets it."""


class PromptGrid(Panel):
    """Prompts under settings: a row a prompt, a column a setting; all cells run in one batch.

    prompts: a text or a list of them. over: a frame; then the text is filled in for each of its rows,
    `{{ column }}`, and a list has a prompt for each. settings: `SamplingParams`, `BeamSearchParams`, a
    dictionary of fields that override the model's defaults (max_tokens=256), a list of these, or a
    dictionary of them by name; several completions of one setting are a column each. models: loaded
    models by name: each gets these columns. model: the one of all columns otherwise; None: the current
    one, or the bundled one where none is loaded. file: what `save` wrote; what of it has the same prompt,
    setting and model is restored, and the rest is said. run: begin at once.

    `df` has a row per cell at any moment, `choices` what was judged blind. `run`, `stop`, `wait`, `add`,
    `add_setting`, `sort`, `rate`, `annotate`, `blind`, `choose`, `undo`, `reveal`, `save`, `restore` and
    `to_frame` are the buttons. Rows are numbers from 0; columns numbers, or names.
    """

    view: PromptGridView

    def __init__(
        self,
        prompts: str | Sequence[str] | None = None,
        settings: Any = None,
        *,
        over: pd.DataFrame | None = None,
        models: Sequence[str] | None = None,
        model: str | None = None,
        file: str | Path | None = None,
        run: bool = False,
    ):
        self.cells, self.order = Cells(prompts=[], columns=[]), Order()
        self._judging, self._files = Judging(self.cells), Files()
        self._making = Making(self.cells, self._llm)
        self._keeping: TimerHandle | None = None
        super().__init__(PromptGridView(self._actions()), model=model)
        self.arrange()
        try:
            self._fill(prompts, settings, over, models, file)
            if run:
                self.run()
        except BaseException:
            self.close()
            raise

    @classmethod
    def load(cls, path: str | Path, *, model: str | None = None) -> Self:
        """The grid that `save` wrote, with its texts. Raises `ParamError` for another file."""
        cells, _ = saved.read(Path(path).expanduser())
        names = [column.model for column in cells.columns if column.model]
        grid = cls(cells.prompts, cells.columns or None, over=cells.over, model=model, file=path)
        if missing := [name for name in names if name not in resident.loaded()]:
            grid.view.note += f"; {missing[0]!r} is not loaded, its cells cannot run"
        return grid

    @property
    def df(self) -> pd.DataFrame:
        """One row per cell: row, prompt, setting, model (of several), text, finish_reason, num_tokens,
        cumulative_logprob, mean_logprob, error (where there is one), rating, note, and the parameters
        that differ between columns; after the columns of the `over` frame's row."""
        with self.runs.lock:
            found = frame.frame(self.cells, self.model)
        if (provenance := self._making.provenance) is not None:
            found.attrs["nbllm"] = provenance.attrs()
        return found

    @property
    def choices(self) -> pd.DataFrame:
        """One row per judgement of `choose`: row, prompt, the columns a and b, which of them was on the
        left, the choice ("left", "right", "tie") and the winner."""
        return frame.choices(self.cells, self._judging.duels.values())

    def run(self) -> None:
        """Make every cell that is not done. Returns at once; while a run is under way nothing happens."""
        with self.runs.lock:
            if self.runs.running:
                return
            wanted = [cell for cell in self.cells if not cell.done]
            if not wanted:
                self.view.note = (
                    "there is no cell to run" if len(self.cells) == 0 else "all is done"
                )
                return
            self.view.note = ""
            self.runs.start(partial(self._begin, wanted), show=self._show, end=self._ended)
            self.view.running = True

    def stop(self) -> None:
        """End the run under way, and keep what it has made; `run` does the rest."""
        self.runs.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run under way has ended; False if it has not after `timeout` seconds."""
        return self.runs.wait(timeout)

    def add(self, prompt: str) -> None:
        """One more row. Raises `ParamError` where rows are those of a frame."""
        if not isinstance(prompt, str) or not prompt:
            raise ParamError(f"a prompt is a text, not empty, got {prompt!r}")
        with self.runs.lock:
            self.cells.add_row(prompt)
            if not self.cells.columns:
                self.cells.add_columns(columns(None, None, self._base))
            self._draw()

    def add_setting(self, setting: Any) -> None:
        """More columns: what `settings` may be, or a text such as "wild: temperature=1.3 top_k=50"."""
        new = (
            column(setting, self._base)
            if isinstance(setting, str)
            else columns(setting, None, self._base)
        )
        with self.runs.lock:
            self.cells.add_columns(new)
            self._draw()

    def sort(
        self,
        by: str = "row",
        column: Any = None,
        *,
        descending: bool = False,
        text: str = "",
        show: str = "all",
    ) -> list[int]:
        """Show rows in this order, and only some of them; their places.

        by: "row", "prompt", "text", "rating", "tokens" or "logprob" (per token), of the column, or the
        mean of all. descending: the greatest first. text: only rows that hold this. show: only rows
        with a cell that is "rated", "unrated", "noted", "missing" or "failed"; "all".
        """
        with self.runs.lock:
            place = None if column is None else self.cells.column(column)
            self.order = Order(by=by, column=place, descending=descending, text=text, show=show)
            self._draw_rows()
            self.keep()
        return self.view.rows

    def rate(self, row: int, column: Any, rating: int | None) -> None:
        """Rate a cell from 1 to 5; 0 or None clears. Raises `ParamError`."""
        with self.runs.lock:
            cell = self.cells.cell(row, column)
            cell.rating = checked_rating(rating)
            self._said_of(cell)

    def annotate(self, row: int, column: Any, note: str) -> None:
        """Write a note to a cell; an empty one is none."""
        if not isinstance(note, str):
            raise ParamError(f"a note is a text, got {note!r}")
        with self.runs.lock:
            cell = self.cells.cell(row, column)
            cell.note = note
            self._said_of(cell)

    def blind(self, a: Any, b: Any) -> None:
        """Judge two columns row by row, without their names and in an order by chance; goes on with what
        was judged before. Rows whose two texts are equal are left out."""
        with self.runs.lock:
            self._judging.begin(a, b)
            self.view.duel = self._judging.data()

    def end_blind(self) -> None:
        """Back to the grid."""
        self._judging.duel, self.view.duel = None, {}
        self.keep()

    def choose(self, choice: str, row: int | None = None) -> None:
        """Judge the row that is shown: "left", "right" or "tie". row: only if it is still this one."""
        with self.runs.lock:
            self._judging.choose(choice, row)
            self.view.duel = self._judging.data()
        self._keep_soon()

    def undo(self) -> None:
        """Take the latest judgement back."""
        with self.runs.lock:
            self._judging.undo()
            self.view.duel = self._judging.data()
        self._keep_soon()

    def reveal(self) -> Outcome:
        """Wins of each column, ties, and the Wilson interval of the share of wins; shown, too."""
        with self.runs.lock:
            outcome = self._judging.reveal()
            self.view.duel = self._judging.data(outcome)
        self._keep_soon()
        return outcome

    def save(self, path: str | Path | None = None, *, overwrite: bool = False) -> None:
        """Write everything to a file of JSON lines, in one step. Raises `ParamError`.

        path: None: where it was saved last, or grid.jsonl. overwrite: also a file that is not this
        grid's, or holds cells that did not match when it was restored.
        """
        path = Path(path or self.view.file).expanduser()
        with self.runs.lock:
            self._files.save(path, self.cells, self._judging.duels, overwrite=overwrite)
        self.view.file = str(path)
        self.view.note = f"saved: {path}"

    def restore(self, path: str | Path) -> saved.Restored:
        """Take texts, ratings, notes and judgements from a file that `save` wrote, where prompt, setting
        and model are the same; says what did not match. Raises `ParamError`."""
        path = Path(path).expanduser()
        with self.runs.lock:
            found = self._files.restore(path, self.cells, self._judging.duels, self._fingerprints())
            self.view.file, self.view.note = str(path), str(found)
            self._draw()
            self.view.tell(self.cells)
        return found

    def to_frame(self, name: str) -> None:
        """Bind `df` to a variable of the notebook."""
        self.view.note = bind_frame(name, self.df)

    def recording(self) -> Recording:
        """What `nbllm.replay` needs. Raises `ParamError` for several models, or before a run."""
        return self._making.recording()

    def static(self) -> tuple[dict[str, Any], dict[str, Any]]:
        if not len(self.cells):
            return {"text/plain": NOTHING, "text/html": f"<i>{NOTHING}</i>"}, {}
        with self.runs.lock:
            rows = self.view.rows
            data = static(self.cells, rows, self._judging.duels.values())
            return data, self._making.record(rows)

    def close(self) -> None:
        if self._keeping is not None:
            loop().call_soon_threadsafe(self._keeping.cancel)
        super().close()

    def _actions(self) -> dict[str, Any]:
        """What the page may ask for."""
        named = {
            "run": self.run, "stop": self.stop,
            "add": self.add, "add_setting": self.add_setting, "sort": self.sort, "rate": self.rate,
            "annotate": self.annotate, "blind": self.blind, "end_blind": self.end_blind,
            "choose": self.choose, "undo": self.undo, "reveal": self.reveal, "save": self.save,
            "restore": self.restore, "frame": self.to_frame, "close": self.close,
        }  # fmt: skip
        unasked = {"draw": self._tell_all, "look": self._look}
        return {
            **{name: partial(self.attempt, action) for name, action in named.items()},
            **{name: partial(self._unasked, action) for name, action in unasked.items()},
        }

    def _unasked(self, call: Callable[..., Any], /, **fields: Any) -> None:
        """As `attempt`, for what is nobody's wish: an error that is shown stays."""
        try:
            call(**fields)
        except Exception as error:
            self.fail(error)

    def _fill(
        self, prompts: Any, settings: Any, over: Any, models: Sequence[str] | None, file: Any
    ) -> None:
        """What the constructor was given."""
        models = [models] if isinstance(models, str) else models
        for name in (self.model, *(models or ())):
            if name is not None:
                resident.current(name)
        some = prompts is not None or settings is not None or bool(models)
        wanted = columns(settings, models, self._base) if some else []
        self.cells = Cells(prompts=rows(prompts, over), columns=wanted, over=over)
        self._judging, self._making = Judging(self.cells), Making(self.cells, self._llm)
        self.view.file = str(file or "grid.jsonl")
        if file is not None and Path(file).expanduser().exists():
            self.restore(file)
        else:
            self._draw()

    def _base(self) -> SamplingParams:
        """What fields of a setting override."""
        return defaults(self.llm())

    def _llm(self, column: Column) -> LLM:
        return resident.current(column.model) if column.model else self.llm()

    def _begin(self, wanted: Sequence[Cell]) -> Stream:
        outputs = self._making.begin(wanted)
        with self.runs.lock:
            self.view.tell(cell for cell in wanted if cell.error)
            self.view.count(self.cells)
        return outputs

    def _show(self, outputs: Sequence[RequestOutput]) -> None:
        self.view.tell(self._making.take(outputs))
        self.view.count(self.cells)

    def _ended(self, error: Exception | None, stopped: bool) -> None:
        self.view.running = False
        self.view.count(self.cells)
        self._making.end()
        resident.remember(self)
        if error is not None:
            self.fail(error)
        elif stopped:
            self.view.note = "stopped: what is done stays, Run does the rest"
        self._draw_rows()
        self.view.duel = self._judging.data()
        self.keep()

    def _look(self, page: str, rows: Sequence[int]) -> None:
        with self.runs.lock:
            self.view.look(page, rows)
            seen = [cell for row in rows for cell in self.cells.table[row]]
            self.view.tell(cell for cell in seen if cell.state == "running")

    def _tell_all(self) -> None:
        with self.runs.lock:
            self.view.tell(cell for cell in self.cells if cell.state or cell.rating or cell.note)

    def _said_of(self, cell: Cell) -> None:
        """A person has said something of this cell."""
        self.view.tell([cell])
        self.view.describe(self.cells)
        self._keep_soon()

    def _draw(self) -> None:
        self.view.describe(self.cells)
        self.view.count(self.cells)
        self._draw_rows()
        self.keep()

    def _draw_rows(self) -> None:
        """Only when somebody asks, or a run has ended: rows do not move under the hand that rates them."""
        order = self.order
        self.view.rows = order.rows(self.cells)
        self.view.order = {
            "by": order.by, "column": order.column, "descending": order.descending,
            "text": order.text, "show": order.show,
        }  # fmt: skip

    def _fingerprints(self) -> dict[int, str]:
        """Of the columns' models, where they are loaded."""
        found = {}
        for j, each in enumerate(self.cells.columns):
            try:
                found[j] = resident.current(each.model or self.model).info().fingerprint
            except NoModelError:
                continue
        return found

    def _keep_soon(self) -> None:
        """Not after each key: a saved notebook gets a whole view."""

        def later() -> None:
            if self._keeping is not None:
                self._keeping.cancel()
            self._keeping = loop().call_later(KEEP_AFTER, self._unasked, self.keep)

        loop().call_soon_threadsafe(later)
