"""`nbllm generate --in FILE --out FILE`: every row of a file, in one continuous batch.

Rows are read when there is room for them, and each is in the journal beside the output file when it
is done. At the end the input is read again and written with what came of it, in its order.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
from tqdm import tqdm

from ...engine import waiting
from ...engine.job import Job
from ...engine.request import Request
from ...errors import GenerationInterrupted, NbllmError, ParamError, did_you_mean
from ...outputs import CompletionOutput
from ...prompts import Prompt
from ...sampling_params import RequestOutputKind, SamplingParams
from .journal import Journal
from .tables import count, kind_of, read, writer
from .terminal import note

if TYPE_CHECKING:
    from ...llm import LLM

AT_ONCE = 1024
"""Rows in the engine at a time: more than any batch holds."""
COLUMNS = (
    "output", "text", "finish_reason", "num_tokens", "cumulative_logprob", "mean_logprob", "error",
)  # fmt: skip
"""As in the frames of `nbllm.to_frame`, and what went wrong."""


class Batch:
    """A run over a file. Everything that can be wrong with the files is found here.

    column: where the prompts are; None: the only column there is. fresh: begin again, and write over
    what is there. Raises `ParamError`.
    """

    def __init__(self, source: Path, target: Path, column: str | None, *, fresh: bool):
        self.source, self.target, self.fresh = source, target, fresh
        kind_of(source)
        kind_of(target, writing=True)
        if not target.parent.is_dir():
            raise ParamError(f"--out {target}: there is no folder {str(target.parent)!r}")
        if source.resolve() == target.resolve():
            raise ParamError(f"{source}: --in and --out are the same file")
        self.journal = target.with_name(target.name + ".partial")
        # a run that was begun with --fresh goes on without it
        if target.exists() and not fresh and not self.journal.exists():
            raise ParamError(f"{target} is there already; --fresh writes over it")
        self.column = _column(source, column)

    def run(self, llm: LLM, params: SamplingParams, *, chat: bool, system: str | None) -> None:
        """Do what is left to do, and write the file.

        A row that cannot be sent, or whose generation fails, gets the finish_reason "error", and in
        the column `error` the reason. On Ctrl-C `GenerationInterrupted` says what is kept.
        """
        run = self._identity(llm, params, chat, system)
        with Journal(self.journal, run, fresh=self.fresh) as journal:
            if len(journal):
                note(f"going on: {len(journal):,} rows were done; --fresh begins again")
            journal.begin(secrets.randbits(31) if params.seed is None else None)
            rows = Rows(llm, params, journal.seed, chat=chat, system=system)
            self._do(llm, rows, journal)
            self._write(journal)
            journal.remove()

    def _identity(
        self, llm: LLM, params: SamplingParams, chat: bool, system: str | None
    ) -> dict[str, Any]:
        """All that has to be equal for rows of one run to belong to another."""
        info = llm.info()
        template = {"chat_template": info.chat_template_hash, "system": system} if chat else {}
        settings = {f.name: getattr(params, f.name) for f in fields(params)}
        model = {"model": info.fingerprint, "dtype": info.dtype}
        return {**model, "column": self.column, "chat": chat, **template, **settings}

    def _do(self, llm: LLM, rows: Rows, journal: Journal) -> None:
        total = count(self.source)
        bar = tqdm(total=total, initial=len(journal), unit="row", delay=1, disable=None)
        jobs = cast(Iterator[Job], self._left(rows, journal))
        try:
            with bar, closing(waiting.feed(llm.engine, jobs, AT_ONCE)) as feed:
                for done in feed:
                    row = cast(Done, done)
                    journal.add(row.number, row.sent, row.outputs)
                    bar.update()
        except KeyboardInterrupt:
            of = f" of {total:,}" if total is not None else ""
            raise GenerationInterrupted(
                message=f"interrupted: {len(journal):,}{of} rows are kept in {journal.path}; "
                "the same command goes on"
            ) from None

    def _left(self, rows: Rows, journal: Journal) -> Iterator[Row]:
        """The rows that are not done. One that cannot be sent is done at once."""
        for number, value in self._values():
            if journal.has(number, value):
                continue
            try:
                yield rows.row(number, value)
            except NbllmError as error:
                journal.add(number, value, [failed(error)])

    def _values(self) -> Iterator[tuple[int, Any]]:
        begin = 0
        for frame in read(self.source):
            yield from enumerate(map(_plain, frame[self.column].tolist()), begin)
            begin += len(frame)

    def _write(self, journal: Journal) -> None:
        begin = wrong = 0
        with writer(self.target) as write:
            for frame in read(self.source):
                outputs = [journal.outputs(begin + i) for i in range(len(frame))]
                write(beside(frame, outputs))
                begin += len(frame)
                wrong += sum(one["error"] is not None for made in outputs for one in made)
        errors = f"; {wrong:,} could not be done, the column error says why" if wrong else ""
        note(f"{begin:,} rows are in {self.target}{errors}")


class Rows:
    """Makes jobs of rows.

    seed: the one that the run has drawn, from which every row's follows; None: the user's own, which
    goes to every row.
    """

    def __init__(
        self,
        llm: LLM,
        params: SamplingParams,
        seed: int | None,
        *,
        chat: bool,
        system: str | None,
    ):
        self.llm, self.seed, self.chat, self.system = llm, seed, chat, system
        self.params = replace(params, output_kind=RequestOutputKind.FINAL_ONLY)

    def row(self, number: int, value: Any) -> Row:
        """What is to be done for one. Raises what is wrong with it."""
        params = self.params.clone()
        if self.seed is not None:
            params.seed = self.seed + number * params.n
        [job] = self.llm.prepare([self._prompt(value)], params)
        return Row(number, value, cast(Job, job))

    def _prompt(self, value: Any) -> Prompt:
        if isinstance(value, list) or self.chat:
            [made] = self.llm.preprocess_chat([self._messages(value)])
            return Prompt(text=made["prompt"], token_ids=made["prompt_token_ids"])
        if not isinstance(value, str):
            raise ParamError(f"a prompt is text, got {value!r}")
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise ParamError("a prompt holds half a surrogate pair, which is no text")
        return Prompt(text=value)

    def _messages(self, value: Any) -> Any:
        if isinstance(value, str):
            value = [{"role": "user", "content": value}]
        if not isinstance(value, list):
            raise ParamError(f"with --chat a row is text or a list of messages, got {value!r}")
        return [{"role": "system", "content": self.system}, *value] if self.system else value


class Row:
    """One row on its way. It never raises: what ends it is its outcome."""

    cumulative = False

    def __init__(self, number: int, sent: Any, job: Job):
        self.number, self.sent, self.job = number, sent, job

    @property
    def finished(self) -> bool:
        return self.job.finished

    @property
    def requests(self) -> list[Request]:
        return self.job.requests

    def check(self) -> Row:
        return self

    def mark(self) -> None:
        self.job.mark()

    def moved(self) -> bool:
        return self.job.moved()

    def output(self) -> Done:
        """What came of it."""
        try:
            made = self.job.check().output().outputs
        except Exception as error:
            return Done(self.number, self.sent, [failed(error)])
        return Done(self.number, self.sent, [_record(c) for c in made])


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a row, with what `GenerationInterrupted` counts of it."""

    number: int
    sent: Any
    outputs: list[dict[str, Any]]
    finished: bool = True
    aborted: bool = False


def _plain(value: Any) -> Any:
    """None for whatever pandas has for what is missing."""
    return None if value is pd.NA or value != value else value


def _record(completion: CompletionOutput) -> dict[str, Any]:
    """A completion's columns."""
    num, total = len(completion.token_ids), completion.cumulative_logprob
    return {
        "output": completion.index,
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "num_tokens": num,
        "cumulative_logprob": total,
        "mean_logprob": total / num if num else None,
        "error": None,
    }


def failed(error: Exception) -> dict[str, Any]:
    """The columns of a row that could not be done."""
    nothing = dict.fromkeys(COLUMNS)
    reason = str(error) or type(error).__name__
    return {**nothing, "output": 0, "finish_reason": "error", "num_tokens": 0, "error": reason}


def beside(frame: pd.DataFrame, outputs: list[list[dict[str, Any]]]) -> pd.DataFrame:
    """The rows with their outputs; a column called like one of these is kept as NAME_in."""
    which = [i for i, made in enumerate(outputs) for _ in made]
    left = frame.iloc[which].reset_index(drop=True)
    names = {name: f"{name}_in" for name in frame.columns if name in COLUMNS}
    made = pd.DataFrame([one for each in outputs for one in each], columns=list(COLUMNS))
    made = made.astype({"cumulative_logprob": float, "mean_logprob": float})
    return pd.concat([left.rename(columns=names), made], axis=1)


def _column(source: Path, column: str | None) -> str:
    first = next(read(source), None)
    if first is None:
        raise ParamError(f"{source} has no rows")
    names = list(map(str, first.columns))
    if column is None and len(names) == 1:
        return names[0]
    if column not in names:
        said = "--column says which" if column is None else f"there is no column {column!r}"
        near = did_you_mean(column or "", names)
        raise ParamError(f"{source}: {said}; it has {', '.join(names)}{near}")
    return column
