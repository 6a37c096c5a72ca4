"""`TokenExplorer`: a text token by token, and what would have come of other tokens."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from traitlets import Unicode, link

from .. import resident
from ..errors import ParamError
from ..outputs import RequestOutput
from ..replays import Recording
from ..sampling_params import SamplingParams
from . import branch_frames
from .asked import defaults
from .binding import bind_frame
from .branch_runs import Continuation, Run, Scoring
from .branch_sources import Source, parting, read
from .branches import Branch, Branches, choices
from .controls import ALTERNATIVES, SamplingControls
from .explorer_controls import ExplorerControls
from .explorer_view import ExplorerView
from .panel import Panel

if TYPE_CHECKING:
    import pandas as pd

    from ..llm import LLM

NOTHING = "TokenExplorer: nothing has been explored"
PINS = ("A", "B")


class TokenExplorer(Panel):
    """A text as tokens, each with its probability, rank, entropy and alternatives; choose one of these,
    and the text goes on from there, as a branch of its own.

    source: what to begin with. A prompt (a text, token ids, messages) is generated from at once. A
    result of a magic, a `RequestOutput`, a `CompletionOutput` (with prompt=), a `BeamSearchOutput` or a
    row of a result's frame is shown; what it lacks of log-probabilities is computed. text: instead of a
    source, a text to score, behind a prompt if there is one. params: of what is generated; default:
    those of the source, else the model's with max_tokens=256; what they count begins at the branch, but
    structured_outputs hold for the whole text. model: a loaded model's name; None: the current one, or
    the bundled one where none is loaded.

    `branches` has all of them, `shown` the one in view; `df` and `tokens_frame()` are frames of them.
    `generate`, `score`, `branch`, `stop`, `wait`, `show`, `rename`, `remove`, `pin` and `compare` are
    the buttons. A branch is meant by its number or its name. Positions count a branch's tokens from 0.
    """

    view: ExplorerView
    prompt = Unicode(help="what `generate` goes on from, and what `score` scores")

    def __init__(
        self,
        source: Any = None,
        params: SamplingParams | None = None,
        *,
        prompt: Any = None,
        text: str | None = None,
        model: str | None = None,
    ):
        self._branches, self._run = Branches(), None
        self.shown: Branch | None = None
        self.pins: dict[str, Branch] = {}
        self._typed: Source | None = None
        super().__init__(ExplorerView(self._actions()), model=model)
        llm = self.loaded()
        self._settings = SamplingControls(
            params or defaults(llm), max_tokens=llm.max_model_len,
            max_logprobs=llm.intake.max_logprobs, changed=lambda: None,
        )  # fmt: skip
        wishes = {
            name: partial(self.attempt, getattr(self, name))
            for name in ("generate", "score", "stop")
        }
        controls = ExplorerControls(self._settings.more, **wishes)
        link((self, "prompt"), (controls.prompt, "value"))
        self.arrange(controls.prompt, self._settings.main, self._settings.more, controls.box)
        if source is not None or prompt is not None or text is not None:
            self._begin(source, prompt, text, with_params=params is None)

    @property
    def params(self) -> SamplingParams:
        """What the controls say. Raises `ParamError` for what does not go together."""
        return self._settings.params

    @params.setter
    def params(self, params: SamplingParams) -> None:
        self._settings.params = params

    @property
    def branches(self) -> list[Branch]:
        """All branches, oldest first."""
        return list(self._branches.all)

    @property
    def df(self) -> pd.DataFrame:
        """One row per branch, oldest first: branch (its number), name, parent (that one's number; missing
        for a branch that begins at its prompt), position (of its first own token), token (that one's
        text), prompt, text, finish_reason, num_tokens, cumulative_logprob and mean_logprob (of all its
        tokens, those of its parent too), the seed, and the parameters that differ between branches."""
        with self.runs.lock:
            return branch_frames.frame(self.branches)

    def tokens_frame(self) -> pd.DataFrame:
        """One row per token of every branch: branch, name, the columns of `nbllm.frames.tokens_frame`
        without output, inherited (whether the token is one of its parent's)."""
        with self.runs.lock:
            return branch_frames.tokens_frame(self.branches)

    def recording(self) -> Recording:
        """What `nbllm.replay` needs to make all branches again that were generated here."""
        return branch_frames.recording(self.branches)

    def explore(self, source: Any = None, *, prompt: Any = None, text: str | None = None) -> None:
        """Begin another tree, beside those there are, with what the constructor takes. Returns at once."""
        self._explore(read(self.llm(), source, prompt=prompt, text=text))

    def generate(self) -> None:
        """Go on from the prompt. Returns at once. Raises `PromptError` and `ParamError`."""
        self._explore(self._source())

    def score(self) -> None:
        """Show how likely the tokens of the prompt's text are. Returns at once."""
        self._explore(read(self.llm(), text=self.prompt))

    def branch(
        self,
        position: int | None = None,
        token: int | str | None = None,
        *,
        of: int | str | None = None,
    ) -> None:
        """Let a branch part from another: the tokens before `position`, then `token`, then what comes.

        position: of `of`'s tokens, from 0; None: its end, so it goes on. token: an id, the text of one
        of the alternatives, or any other text; None: drawn once more. of: None: the branch in view.
        Returns at once; what runs is stopped and keeps what it has made. With n > 1 it is n branches.
        Tokens that are no alternatives are scored with their prompt, which is read anew for that.
        Raises `ParamError` for a position or a token that there is not.
        """
        llm, params = self.llm(), self.params
        with self.runs.lock:
            self._settle()
            given = parting(llm, self._find(of), position, token)
            llm.intake.check_prompt([*given.prompt_ids, *given.token_ids])
            stops = set(params.stop_ids) | (set() if params.ignore_eos else llm.intake.eos_ids)
            if token is not None and given.token_ids[-1] in stops:
                self._end_at(llm, given)
            else:
                self._start(Continuation(llm, given, params))

    def stop(self) -> None:
        """End what runs, and keep what it has made."""
        self.runs.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until what runs has ended; False if it has not after `timeout` seconds."""
        return self.runs.wait(timeout)

    def show(self, branch: int | str) -> None:
        """Show this branch. What runs goes on."""
        with self.runs.lock:
            self._show(self._find(branch))
            self._draw()

    def rename(self, name: str, branch: int | str | None = None) -> None:
        """Give a branch another name; None: the one in view."""
        if not name.strip():
            raise ParamError("a name has to have a letter or a sign in it, got an empty one")
        with self.runs.lock:
            self._find(branch).name = name.strip()
            self._draw()
            self.view.compare(self.pins)

    def remove(self, branch: int | str | None = None) -> None:
        """Take a branch out, with all that part from it; None: the one in view. What runs is stopped."""
        with self.runs.lock:
            self._settle()
            self._take_out(self._find(branch))
            self._draw()

    def pin(self, name: str, branch: int | str | None = None) -> None:
        """Keep a branch in view as "A" or "B"; None: the one in view. Of two, what differs is marked."""
        if name not in PINS:
            raise ParamError(f"a branch is pinned as A or B, got {name!r}")
        with self.runs.lock:
            self.pins[name] = self._find(branch)
            self.view.compare(self.pins)

    def unpin(self, name: str) -> None:
        """Undo `pin`."""
        with self.runs.lock:
            self.pins.pop(name, None)
            self.view.compare(self.pins)

    def compare(self, a: int | str, b: int | str) -> pd.DataFrame:
        """Pin two branches. One row per span of tokens that they share, or in which they differ, in
        their order: shared, position_a and position_b (where it begins), text_a and text_b, logprob_a
        and logprob_b (of its tokens)."""
        self.pin("A", a)
        self.pin("B", b)
        return branch_frames.compared(self.pins["A"], self.pins["B"])

    def to_frame(self, name: str) -> None:
        """Bind `df` to a variable of the notebook, and `tokens_frame()` to NAME_tokens."""
        said = bind_frame(name, self.df)
        self.view.note = f"{said}, {bind_frame(f'{name}_tokens', self.tokens_frame())}"

    def static(self) -> tuple[dict[str, Any], dict[str, Any]]:
        with self.runs.lock:
            branches = [b for _, b in self._branches.tree()]
            if not branches:
                return {"text/plain": NOTHING, "text/html": f"<i>{NOTHING}</i>"}, {}
            return branch_frames.bundle(branches)

    def close(self) -> None:
        # what has been made is part of what is left
        with self.runs.lock:
            self._settle()
        super().close()

    def _actions(self) -> dict[str, Any]:
        """What the page may ask for."""
        named = {
            "branch": self._chosen, "show": self.show, "rename": self.rename, "remove": self.remove,
            "pin": self.pin, "unpin": self.unpin, "frame": self.to_frame, "close": self.close,
        }  # fmt: skip
        return {name: partial(self.attempt, action) for name, action in named.items()}

    def _begin(self, source: Any, prompt: Any, text: str | None, *, with_params: bool) -> None:
        """As `explore`, for the constructor: where that raises, no widget is left."""
        try:
            found = read(self.llm(), source, prompt=prompt, text=text)
            if found.params is not None and with_params:
                self.params = found.params
            self._explore(found)
        except BaseException:
            self.close()
            raise

    def _explore(self, source: Source) -> None:
        llm, params = self.llm(), self.params
        with self.runs.lock:
            self._settle()
            self._typed = source
            self.prompt = source.prompt if source.typed is None else source.typed
            if not source.branches:
                self._start(Continuation(llm, source.empty(), params))
                return
            for branch in source.branches:
                self._branches.add(branch)
            unknown = [b for b in source.branches if not b.scored]
            if unknown:
                self._start(Scoring(llm, unknown, params.logprobs or ALTERNATIVES), known=True)
            else:
                self._show(source.branches[0])
                self._draw()

    def _source(self) -> Source:
        """The prompt's text; its tokens are those of then, if it has not been changed since."""
        llm, typed = self.llm(), self._typed
        known = (self.prompt, llm.info().fingerprint)
        if typed is not None and (typed.prompt, typed.fingerprint) == known:
            return replace(typed, branches=[])
        return read(llm, prompt=self.prompt)

    def _chosen(self, of: int, position: int, choice: int | None = None, text: str = "") -> None:
        """`branch`, as the page says it: `choice` counts the alternatives that it shows."""
        if choice is None:
            self.branch(position, text or None, of=of)
        else:
            self.branch(position, choices(self._find(of).logprobs[position])[choice], of=of)

    def _end_at(self, llm: LLM, given: Branch) -> None:
        """A branch that is told to stop is at its end."""
        ended = replace(given, num_given=len(given.token_ids), finish_reason="stop")
        if not ended.scored:
            self._start(Scoring(llm, [ended], self.params.logprobs or ALTERNATIVES))
            return
        self._branches.add(ended)
        self._show(ended)
        self._draw()

    def _find(self, which: int | str | None) -> Branch:
        if which is not None:
            return self._branches.find(which)
        if self.shown is None:
            raise ParamError("there is no text yet: generate one, or give one to explore")
        return self.shown

    def _start(self, run: Run, *, known: bool = False) -> None:
        def show(outputs: list[RequestOutput]) -> None:
            for output in outputs:
                run.take(output)
            if self.shown in run.branches:
                self.view.grow(self.shown.output(growing=True))

        def end(error: Exception | None, stopped: bool) -> None:
            self._ended(run, error, stopped)

        if not known:
            for branch in run.branches:
                self._branches.add(branch)
        self._run = run
        self.view.error = ""
        self._show(run.branches[0])
        self._draw()
        self.runs.start(run.stream, show=show, end=end)

    def _settle(self) -> None:
        """End what runs, here and now, with what it has made."""
        if (run := self._run) is not None:
            self.runs.drop()
            self._ended(run, None, stopped=False)

    def _ended(self, run: Run, error: Exception | None, stopped: bool) -> None:
        self._run = None
        nothing = [branch for branch in run.end() if branch in self._branches.all]
        for branch in nothing:
            self._take_out(branch)
        if run.made is not None:
            resident.remember(run.made)
        if self.shown in run.branches:
            self.view.finish(self.shown.output())
        self.view.note = "stopped before anything was generated" if stopped and nothing else ""
        if error is not None:
            self.fail(error)
        self._draw()
        if any(pin in run.branches for pin in self.pins.values()):
            self.view.compare(self.pins)

    def _show(self, branch: Branch | None) -> None:
        self.shown = branch
        self.view.show_branch(branch)

    def _take_out(self, branch: Branch) -> None:
        gone = self._branches.remove(branch)
        pins = {name: pin for name, pin in self.pins.items() if pin not in gone}
        if pins != self.pins:
            self.pins = pins
            self.view.compare(pins)
        if self.shown in gone:
            left = self._branches.all
            self._show(branch.parent or (left[-1] if left else None))

    def _draw(self) -> None:
        """Say what has become of the tree."""
        self.view.show_tree(self._branches.tree(), self.shown)
        self.keep()
