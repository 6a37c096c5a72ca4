"""`BeamExplorer`: a beam search, step by step, as a tree and as tables."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from functools import partial
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from traitlets import Unicode, link, observe

from .. import resident, views
from ..errors import ParamError
from ..outputs import BeamSearchOutput
from ..results.search import Found
from ..sampling_params import BeamSearchParams
from . import beam_sequences
from .beam_asked import AskedSearch, Searched
from .beam_controls import SearchControls
from .beam_records import Records
from .beam_sequences import Place
from .beam_view import BeamExplorerView, facts, same_tree
from .loop import loop
from .panel import Panel
from .runs import DEBOUNCE, BeamStream

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "BeamExplorer: nothing has been searched"
USUAL = BeamSearchParams(beam_width=5, max_tokens=32)
AGAIN = "searching again: the recorded search does not say what these parameters find"
RECORDED = "re-ranked from the recorded search"


class BeamExplorer(Panel):
    """Look at a beam search: its tree at every step, what was kept and pruned and why, its sequences.

    prompt: a text, which is searched at once; or a search that was made, as `%%beam` or
    `LLM.beam_search` returned it. params: what to search with; default: beam_width=5, max_tokens=32, or
    those of the search that was made. model: a loaded model's name; None: the current one, or the
    bundled one where none is loaded.

    The sliders re-rank what was recorded where that is enough, and search again where it is not.
    `result` is the search that is shown, as `%%beam` would return it; `df` has its sequences and `trace`
    every candidate; `selected` what was selected. `run`, `stop`, `wait`, `go`, `select`, `select_path`,
    `unselect` and `to_frame` are the buttons.
    """

    view: BeamExplorerView
    prompt = Unicode(help="the prompt's text")

    def __init__(
        self,
        prompt: str | BeamSearchOutput | Found = "",
        params: BeamSearchParams | None = None,
        *,
        model: str | None = None,
    ):
        self._records = Records()
        self._shown: Searched | None = None
        self._selected: list[Place] = []
        self._keeping: Future[None] | None = None
        super().__init__(BeamExplorerView(self._actions()), model=model)
        made = self._made(prompt)
        self._settings = SearchControls(
            params or (made.params if made else USUAL),
            changed=partial(self.attempt, self._changed),
            search=partial(self.attempt, self.run),
            stop=partial(self.attempt, self.stop),
        )
        link((self, "prompt"), (self._settings.text, "value"))
        self.prompt = prompt if isinstance(prompt, str) else made.prompt if made else ""
        self.arrange(self._settings.text, self._settings.box, self._settings.buttons)
        if made is not None:
            self._records.add(made)
            self._show(made)
            if params is not None:
                self._changed()
        elif self.prompt:
            self.run()

    def _made(self, prompt: str | BeamSearchOutput | Found) -> Searched | None:
        """The search, if that is what was given. Where it raises, no widget is left."""
        try:
            if not isinstance(prompt, str):
                return Searched.of(prompt)
            if prompt:
                self.llm()
            return None
        except BaseException:
            self.close()
            raise

    @property
    def params(self) -> BeamSearchParams:
        """What the controls say. Raises `ParamError` for what does not go together."""
        return self._settings.params

    @params.setter
    def params(self, params: BeamSearchParams) -> None:
        self._settings.params = params
        self._changed()

    @property
    def output(self) -> BeamSearchOutput | None:
        """The search that is shown; None before the first."""
        return self._shown.output if self._shown else None

    @property
    def result(self) -> Found | None:
        """The same as `%%beam` would return it; None before the first, and for a bare
        `BeamSearchOutput`, of which nobody knows what made it."""
        return self._shown.found() if self._shown else None

    @property
    def df(self) -> pd.DataFrame:
        """One row per sequence, best first, as `%%beam` has them."""
        from ..frames import to_frame

        if self._shown is None:
            return beam_sequences.no_frame()
        found = self._shown.found()
        return to_frame([self._shown.output]) if found is None else found.df

    @property
    def trace(self) -> pd.DataFrame:
        """Every candidate of every step; see `nbllm.frames.trace_frame`."""
        import pandas as pd

        from ..frames import TRACE_COLUMNS

        if self._shown is None:
            return pd.DataFrame(columns=TRACE_COLUMNS)
        return self._shown.output.trace_frame()

    @property
    def selected(self) -> pd.DataFrame:
        """The selected sequences and paths: the columns of `df`, and state as in `trace`.

        rank is missing for what is not returned, finish_reason for what did not end.
        """
        if self._shown is None:
            return beam_sequences.no_frame()
        return beam_sequences.frame(self._shown.output, self._selected)

    @property
    def step(self) -> int:
        """The step that is shown, from 1; 0: the prompt alone."""
        return self.view.step

    def run(self) -> None:
        """Search for the prompt. Returns at once; a search under way is replaced by this one.

        Raises `ParamError` for parameters that do not go together, or an empty prompt.
        """
        if not self.prompt:
            raise ParamError("there is no prompt: what is to be continued?")
        self._start(self.params)

    def stop(self) -> None:
        """End the search under way, and keep what it has found."""
        self.runs.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the search under way has ended; False if it has not after `timeout` seconds."""
        return self.runs.wait(timeout)

    def go(self, step: int) -> None:
        """Show the search as it was after a step. Raises `ParamError`."""
        steps = self.view.num_steps
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= steps:
            raise ParamError(f"step must be 0 … {steps}, got {step!r}")
        self.view.go(step)

    def select(self, *ranks: int) -> None:
        """Select sequences by their rank in `df`; none: all of them. Raises `ParamError`."""
        ends = beam_sequences.returned(self._history())
        for rank in ranks or range(1, len(ends) + 1):
            if not 1 <= rank <= len(ends):
                raise ParamError(f"rank must be 1 … {len(ends)}, got {rank}")
        self._select([ends[rank - 1] for rank in ranks or range(1, len(ends) + 1)])

    def select_path(self, step: int, rank: int) -> None:
        """Select the path to a candidate, by step and rank as in `trace`. Raises `ParamError`."""
        self._select([beam_sequences.ranked(self._history(), step, rank)])

    def unselect(self) -> None:
        """Select nothing."""
        self._selected = []
        self._draw_lines()

    def to_frame(self, name: str) -> None:
        """Bind `selected`, or `df` where nothing is selected, to a variable of the notebook."""
        if not name.isidentifier() or iskeyword(name):
            raise ParamError(f"{name!r} is not a variable name")
        if (shell := get_ipython()) is None:
            raise ParamError("there is no notebook to bind a variable in: use .selected")
        frame = shell.user_ns[name] = self.selected if self._selected else self.df
        self.view.note = f"{name} is a DataFrame of {len(frame):,} rows"

    def static(self) -> tuple[dict[str, Any], dict[str, Any]]:
        if self._shown is None:
            return {"text/plain": NOTHING, "text/html": f"<i>{NOTHING}</i>"}, {}
        if (found := self._shown.found()) is not None:
            return found._repr_mimebundle_()
        return views.bundle(views.beams([self._shown.output], prompts=[self._shown.prompt])), {}

    def close(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
        super().close()

    def _actions(self) -> dict[str, Any]:
        """What the page may ask for."""
        named = {
            "go": self.go, "toggle": self._toggle, "all": self.select, "none": self.unselect,
            "frame": self.to_frame, "close": self.close,
        }  # fmt: skip
        return {name: partial(self.attempt, action) for name, action in named.items()}

    def _history(self):
        if self._shown is None:
            raise ParamError("there is no search yet")
        if self.view.running:
            raise ParamError("the search goes on: wait for its end, or stop it, before selecting")
        return self._shown.output.history

    def _toggle(self, step: int, place: int) -> None:
        """Select or unselect the path to a candidate, as the page knows it."""
        at = (step, place)
        if at in self._selected:
            self._selected = [other for other in self._selected if other != at]
            self._draw_lines()
        else:
            self._select([at])

    def _select(self, places: list[Place]) -> None:
        history = self._history()
        for place in places:
            # raises for what there is not
            beam_sequences.hypothesis(history, place)
        self._selected = list(dict.fromkeys([*self._selected, *places]))
        self._draw_lines()

    def _draw_lines(self) -> None:
        if self._shown is not None:
            self.view.show_lines(self._shown.output.history, self._selected)

    @observe("model")
    def _model_changed(self, _: Any) -> None:
        if hasattr(self, "_records"):
            self._records.forget()

    def _changed(self) -> None:
        """Show what the parameters find: from the record, or by another search."""
        params = self.params
        with self.runs.lock:
            if (known := self._records.find(self.prompt, params)) is not None:
                self.runs.drop()
                self._show(known)
                self.view.note = "" if known in self._records else RECORDED
            elif self.prompt:
                self.view.note = AGAIN if self._records else ""
                self._start(params, DEBOUNCE)

    def _start(self, params: BeamSearchParams, after: float = 0.0) -> None:
        run: list[AskedSearch] = []
        prompt, sent = self.prompt, self._records.sent(self.prompt)

        def begin() -> BeamStream:
            run.append(AskedSearch.now(self.llm(), prompt, sent, params))
            return run[0].stream()

        def show(outputs: list[BeamSearchOutput]) -> None:
            [run[0].output] = outputs
            self.view.grow(outputs[0].history)

        def end(error: Exception | None, stopped: bool) -> None:
            self._ended(run[0] if run else None, error, stopped)

        with self.runs.lock:
            self.runs.start(begin, show=show, end=end, after=after)
            self.view.begin()

    def _ended(self, asked: AskedSearch | None, error: Exception | None, stopped: bool) -> None:
        if asked is not None and asked.output is not None:
            made = asked.made()
            self._records.add(made)
            resident.remember(made.found())
            if self.view.note == AGAIN:
                self.view.note = ""
            self._show(made)
        elif stopped:
            self.view.note = "stopped before anything was found"
        if self._shown is not None and self.view.running:
            self._show(self._shown)
        self.view.running = False
        if error is not None:
            self.fail(error)

    def _show(self, searched: Searched) -> None:
        """This is the search that is shown from now on."""
        before, self._shown = self._shown, searched
        history = searched.output.history
        if before is None or not same_tree(before.output.history, history):
            self._selected = []
        self.view.show(history, self._selected)
        self.view.facts = facts(searched)
        self._keep_soon()

    def _keep_soon(self) -> None:
        """Not at every move of a slider: a static view takes its time."""
        if self._keeping is not None:
            self._keeping.cancel()
        self._keeping = asyncio.run_coroutine_threadsafe(self._keep_later(), loop())

    async def _keep_later(self) -> None:
        await asyncio.sleep(DEBOUNCE)
        try:
            await asyncio.to_thread(self.keep)
        except Exception as error:
            self.fail(error)
