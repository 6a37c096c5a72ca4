"""`Playground`: a prompt, its settings, and what comes of them, while they are changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from traitlets import Bool, Dict, Unicode, link, observe

from .. import resident
from ..errors import ParamError, PromptError
from ..outputs import RequestOutput
from ..results.generation import Generation
from ..sampling_params import SamplingParams
from ..templating import Template
from . import history
from .asked import Asked, defaults
from .binding import bind_frame
from .cell import configured, generate_cell
from .controls import SamplingControls
from .fields import Quiet
from .history import Entry, History
from .panel import Panel
from .playground_controls import Buttons, Prompt
from .playground_view import PlaygroundView
from .runs import DEBOUNCE, Stream

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "Playground: nothing has been generated"
PINS = ("A", "B")


class Playground(Quiet, Panel):
    """Try a prompt: edit it, fill in its variables, move the settings, and see what comes of it.

    prompt: may hold `{{ variables }}`; each gets a field. params: what to begin with; default: the
    model's own defaults, with max_tokens=256. model: a loaded model's name; None: the current one, or
    the bundled one where none is loaded. variables: texts of the fields; else what variables of the
    notebook hold. live: run again after every change.

    `history` has the runs, oldest first; `df` all of them as a frame; `result` the one that is shown,
    as `%%generate` would return it. `run`, `stop`, `wait`, `restore`, `pin` and `code` are the buttons.
    """

    view: PlaygroundView
    prompt = Unicode(help="the prompt; {{ names }} in it get a field each")
    variables = Dict(help="name → text of these fields")
    live = Bool(False, help="run again after every change")

    def __init__(
        self,
        prompt: str = "",
        params: SamplingParams | None = None,
        *,
        model: str | None = None,
        variables: Mapping[str, str] | None = None,
        live: bool = False,
    ):
        self._history = History()
        self._shown: Entry | None = None
        self._quiet = True
        super().__init__(PlaygroundView(self._actions()), model=model)
        llm = self.loaded()
        self._usual = defaults(llm)
        self._settings = SamplingControls(
            params or self._usual, max_tokens=llm.max_model_len,
            max_logprobs=llm.intake.max_logprobs, changed=self._changed,
        )  # fmt: skip
        self._prompt = Prompt(self.tie)
        run, stop = partial(self.attempt, self.run), partial(self.attempt, self.stop)
        buttons = Buttons(self._settings.more, run=run, stop=stop)
        link((self, "prompt"), (self._prompt.text, "value"))
        link((self, "live"), (buttons.live, "value"))
        self.variables = dict(variables or {})
        self.prompt, self.live = prompt, live
        settings = self._settings
        self.arrange(self._prompt.text, self._prompt.box, settings.main, settings.more, buttons.box)
        self._quiet = False
        self._changed()

    @property
    def params(self) -> SamplingParams:
        """What the controls say. Raises `ParamError` for what does not go together."""
        return self._settings.params

    @params.setter
    def params(self, params: SamplingParams) -> None:
        self._settings.params = params
        self._changed()

    @property
    def history(self) -> list[Entry]:
        """The latest 200 runs, oldest first."""
        return self._history.entries

    @property
    def pins(self) -> dict[str, Entry]:
        """The runs that are pinned as "A" and "B"."""
        return self._history.pins

    @property
    def result(self) -> Generation | None:
        """The run that is shown; None before the first."""
        return self._shown.generation if self._shown else None

    @property
    def df(self) -> pd.DataFrame:
        """One row per completion of every run: its number, the variables, what `%%generate` has as
        columns, the seed, and the parameters that differ between runs."""
        return history.frame(self.history)

    def run(self) -> None:
        """Generate with what is set. Returns at once; a run under way is replaced by this one.

        Raises `ParamError` and `PromptError` for what cannot be sent.
        """
        asked = self._asked()
        self._start(lambda: asked)

    def stop(self) -> None:
        """End the run under way, and keep what it has made."""
        self.runs.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run under way has ended; False if it has not after `timeout` seconds."""
        return self.runs.wait(timeout)

    def restore(self, run: int) -> None:
        """Set everything as it was for this run, and show what came of it."""
        entry = self._history.find(run)
        with self.runs.lock, self.quiet():
            self.runs.drop()
            self.prompt = entry.template
            self._prompt.values = entry.variables
            self._settings.params = entry.params
            self._keep(entry)
            self.view.show(entry.generation.outputs[0])

    def pin(self, name: str, run: int | None = None) -> None:
        """Keep a run in view as "A" or "B"; None: the one that is shown. Of two, words that differ are marked."""
        if name not in PINS:
            raise ParamError(f"a run is pinned as A or B, got {name!r}")
        entry = self._shown if run is None else self._history.find(run)
        if entry is None:
            raise ParamError("there is no run to pin yet")
        self.pins[name] = entry
        self._draw_pins()

    def unpin(self, name: str) -> None:
        """Undo `pin`."""
        self.pins.pop(name, None)
        self._draw_pins()

    def to_frame(self, name: str) -> None:
        """Bind `df` to a variable of the notebook."""
        self.view.note = bind_frame(name, self.df)

    def code(self) -> str:
        """The cell that does the same; the run that is shown, if nothing was changed since."""
        shown, params, values = self._shown, self.params, self._prompt.values
        text = Template(self.prompt).render(values)
        now = (self.prompt, values, params)
        if shown is not None and (shown.template, shown.variables, shown.params) == now:
            params = shown.sent
        return generate_cell(text, params, configured(self._usual), model=self.model)

    def static(self) -> tuple[dict[str, Any], dict[str, Any]]:
        entries = {name: self.pins[name] for name in PINS if name in self.pins}
        if self._shown is not None and self._shown not in entries.values():
            entries["shown"] = self._shown
        if not entries:
            return {"text/plain": NOTHING, "text/html": f"<i>{NOTHING}</i>"}, {}
        return history.bundle(entries)

    def _actions(self) -> dict[str, Any]:
        """What the page may ask for."""
        named = {
            "restore": self.restore, "pin": self.pin, "unpin": self.unpin, "frame": self.to_frame,
            "code": self._show_code, "close": self.close,
        }  # fmt: skip
        return {name: partial(self.attempt, action) for name, action in named.items()}

    @observe("prompt")
    def _prompt_changed(self, change: Any) -> None:
        try:
            names = Template(change.new).names
        except PromptError:
            # it is being typed; a run says what is wrong
            names = tuple(self._prompt.fields)
        self._prompt.offer(names, {**_held(names), **self.variables}, self._field_changed)
        self._field_changed()

    def _field_changed(self, _: Any = None) -> None:
        self.variables = {**self.variables, **self._prompt.values}
        self._changed()

    @observe("variables")
    def _variables_changed(self, change: Any) -> None:
        if hasattr(self, "_prompt"):
            self._prompt.values = change.new

    @observe("live")
    def _live_changed(self, _: Any) -> None:
        self._changed()

    def _changed(self) -> None:
        if self.live and not self._quiet:
            self.view.error = ""
            self._start(self._asked, DEBOUNCE) if self.prompt else self.runs.drop()

    def _asked(self) -> Asked:
        """What a run that begins now sends."""
        llm = self.llm()
        self._usual = defaults(llm)
        return Asked.now(llm, self.prompt, self._prompt.values, self.params)

    def _start(self, ask: Callable[[], Asked], after: float = 0.0) -> None:
        run: list[Asked] = []

        def begin() -> Stream:
            run.append(ask())
            return run[0].stream()

        def show(outputs: list[RequestOutput]) -> None:
            [run[0].output] = outputs
            self.view.grow(outputs[0])

        def end(error: Exception | None, stopped: bool) -> None:
            self._ended(run[0] if run else None, error, stopped)

        with self.runs.lock:
            self.runs.start(begin, show=show, end=end, after=after)
            self.view.begin()

    def _ended(self, asked: Asked | None, error: Exception | None, stopped: bool) -> None:
        output = asked.output if asked else None
        if asked is not None and output is not None:
            entry = self._history.add(asked)
            resident.remember(entry.generation)
            self._keep(entry)
        self.view.finish(output)
        if error is not None:
            self.fail(error)
        elif stopped and output is None:
            self.view.note = "stopped before anything was generated"

    def _keep(self, entry: Entry) -> None:
        """This is the run that is shown from now on."""
        self._shown = entry
        self.view.history = [each.summary(self._usual) for each in self.history]
        self.view.name(entry)
        self.view.code, self.view.note = "", ""
        self.keep()

    def _draw_pins(self) -> None:
        self.view.compare(self.pins, {n: e.summary(self._usual) for n, e in self.pins.items()})
        self.keep()

    def _show_code(self) -> None:
        self.view.code = self.code()


def _held(names: tuple[str, ...]) -> dict[str, str]:
    """What variables of the notebook hold, where that is a text or a number."""
    shell = get_ipython()
    known = {} if shell is None else shell.user_ns
    return {n: str(known[n]) for n in names if isinstance(known.get(n), str | int | float)}
