"""What a magic returns: `.df`, `.text`, `.outputs`, and a view of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .. import views
from ..outputs import RequestOutput
from ..replays import Made, Recording
from ..sampling_params import SamplingParams
from .provenance import plain

if TYPE_CHECKING:
    import pandas as pd

    from .provenance import Provenance
    from .work import Work


@dataclass(kw_only=True, eq=False, repr=False)
class Generation:
    """What `%%generate` made; also `%%chat --over`, where every row is a conversation of its own.

    outputs: one `RequestOutput` per prompt and setting. work: what was sent. over: the frame of
    `--over`. before: the frame that `--append` adds to. timings: whether the frame has them. seconds:
    how long it took.
    """

    outputs: list[RequestOutput]
    work: Work
    provenance: Provenance
    seconds: float
    over: pd.DataFrame | None = None
    before: pd.DataFrame | None = None
    timings: bool = False

    @cached_property
    def df(self) -> pd.DataFrame:
        """One row per completion, after the columns of the `--over` frame's row.

        Settings that vary are columns at the end. With `--append` the rows of before come first, and
        vary counts those runs too; what an interrupted run of the same left there is replaced.
        """
        from ..frames import to_frame

        plain = to_frame(self.outputs, timings=self.timings)
        frame = self._with_over(self._with_settings(plain, self._counts), self._counts)
        tails = {"tails": self._tails} if self.work.tails else {}
        frame.attrs["nbllm"] = {**self.provenance.attrs(), "num_rows": len(frame), **tails}
        return frame if self.before is None else appended(self.before, frame, self._param)

    def tokens_frame(self) -> pd.DataFrame:
        """One row per generated token, after the columns of the `--over` frame's row.

        The other columns are those of `nbllm.frames.tokens_frame`, and settings that vary.
        """
        from ..frames import tokens_frame

        counts = [sum(len(c.token_ids) for c in output.outputs) for output in self.outputs]
        frame = self._with_over(self._with_settings(tokens_frame(self.outputs), counts), counts)
        frame.attrs["nbllm"] = self.provenance.attrs()
        return frame

    @property
    def prompts(self) -> list[str]:
        """What the user wrote, templates filled in; one per output."""
        return self.work.shown

    @property
    def text(self) -> str:
        """The generated text; of several completions, with an empty line between them."""
        return "\n\n".join(c.text for output in self.outputs for c in output.outputs)

    @property
    def num_tokens(self) -> int:
        """Generated tokens, of all completions."""
        return sum(len(c.token_ids) for output in self.outputs for c in output.outputs)

    def recording(self) -> Recording:
        """What `nbllm.replay` needs."""
        work, places = self.work, range(len(self.work))
        return Recording(
            kind=work.kind,
            model=self.provenance.model,
            requests=[work.request(place) for place in places],
            params=[work.params_of(place) for place in places],
            expected=[[Made.of(c) for c in output.outputs] for output in self.outputs],
            chat=work.chat,
        )

    def __repr__(self) -> str:
        count = sum(len(output.outputs) for output in self.outputs)
        return f"<{type(self).__name__}: {count} completions, {self.num_tokens} tokens>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        names = [words(setting) for setting in self.work.settings]
        # a single question is in the cell; of several each stands above its answer
        data = views.completions(
            self.outputs,
            kind=self.provenance.kind if len(self.outputs) == 1 else "completions",
            prompts=self.prompts,
            settings=names * len(self.work.prompts) if len(names) > 1 else None,
        )
        return views.bundle(data), {"nbllm": self._metadata()}

    def _metadata(self) -> dict[str, Any]:
        """What it takes to make what is shown again."""
        shown, room = [], views.MAX_COMPLETIONS
        for output in self.outputs:
            if room <= 0:
                break
            shown.append([c.token_ids for c in output.outputs][:room])
            room -= len(output.outputs)
        more: dict[str, Any] = {"token_ids": shown}
        if self.work.kind == "chat":
            count = -(-len(shown) // len(self.work.settings))
            more["messages"] = list(self.work.requests[:count])
        elif not all(isinstance(request, str) for request in self.work.requests):
            # the prompt that is shown does not tell its tokens
            more["requests"] = [self.work.request(place) for place in range(len(shown))]
        if self.work.tails:
            more["tails"] = self._tails
        return self.provenance.metadata(self.seconds, self.num_tokens, **more)

    @property
    def _tails(self) -> dict[str, int]:
        return {str(i): n for i, n in self.work.tails.items()}

    @property
    def _counts(self) -> list[int]:
        return [len(output.outputs) for output in self.outputs]

    def _param(self, name: str) -> list[Any]:
        """What each row was made with."""
        if name == "model":
            return [self.provenance.model["name"]] * sum(self._counts)
        return [
            getattr(self.work.params_of(place), name)
            for place, count in enumerate(self._counts)
            for _ in range(count)
        ]

    def _with_settings(self, frame: pd.DataFrame, counts: list[int]) -> pd.DataFrame:
        settings, names = self.work.settings, list(self.work.settings[0])
        if not names:
            return frame
        which = [i % len(settings) for i, count in enumerate(counts) for _ in range(count)]
        return frame.assign(**{name: [settings[s][name] for s in which] for name in names})

    def _with_over(self, frame: pd.DataFrame, counts: list[int]) -> pd.DataFrame:
        if self.over is None:
            return frame
        size = len(self.work.settings)
        return beside(
            self.over, frame, [sum(counts[i : i + size]) for i in range(0, len(counts), size)]
        )


def cut_short(output: RequestOutput) -> RequestOutput:
    """An output as an interrupt leaves it: what had not finished has finish_reason "abort"."""
    if output.finished:
        return output
    completions = [replace(c, finish_reason=c.finish_reason or "abort") for c in output.outputs]
    return replace(output, outputs=completions, finished=True)


def words(setting: dict[str, Any]) -> str:
    """A setting of a grid, for people."""
    return ", ".join(f"{name}={value}" for name, value in setting.items())


def appended(
    before: pd.DataFrame, frame: pd.DataFrame, param: Callable[[str], list[Any]]
) -> pd.DataFrame:
    """The rows of both; the index counts on where both only count.

    The record is the newest run's, with those of earlier ones in it. Parameters that differ from one
    run to another are columns. param: the values of one, for `frame`.
    """
    import pandas as pd

    attrs, left = before.attrs, _settled(before, frame)
    old, new = attrs.get("nbllm", {}), frame.attrs["nbllm"]
    varied, earlier = _varied(old, new), _earlier(before, old, whole=left is before)
    left = left.assign(**{n: _told(old)[n] for n in varied if n not in left and n in _told(old)})
    added = frame.assign(**{name: param(name) for name in varied if name not in frame})
    counted = all(isinstance(each.index, pd.RangeIndex) for each in (left, added))
    parts = [each for each in (left, added) if len(each)]
    whole = pd.concat(parts, ignore_index=counted) if parts else added
    whole.attrs.update(attrs)
    whole.attrs["nbllm"] = {
        **new, "appended_to": len(left), "varied": varied, "earlier": earlier[-MAX_EARLIER:],
    }  # fmt: skip
    return whole


MAX_EARLIER = 100
"""Records of runs that a frame keeps besides its newest: pandas copies them in every operation."""


def _earlier(frame: pd.DataFrame, record: dict[str, Any], *, whole: bool) -> list[dict[str, Any]]:
    """The records of the runs that made `frame`; without the newest one's where it is not whole."""
    records = record.get("earlier", [])
    if not whole:
        return records
    own = {name: value for name, value in record.items() if name not in ("earlier", "varied")}
    # of rows that were dropped or added nothing says whose they are
    known = record.get("appended_to", 0) + record.get("num_rows", -1) == len(frame)
    return [*records, own] if known else []


def _settled(before: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """`before` without what an interrupted run left there that asked what `frame` answers."""
    old, new = before.attrs.get("nbllm", {}), frame.attrs["nbllm"]
    begin, names = old.get("appended_to", 0), ("kind", "model", "params", "settings", "seed_step")
    partial = before.iloc[begin:]
    if (
        len(partial) == old.get("num_rows")
        and all(old.get(name) == new.get(name) for name in names)
        and partial["prompt"].tolist() == frame["prompt"].tolist()
        and (partial["finish_reason"] == "abort").any()
    ):
        return before.iloc[:begin]
    return before


def _varied(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The parameters in which the runs behind two records differ."""
    before, after = _told(old), _told(new)
    differ = [name for name in before if name not in _SILENT and before[name] != after.get(name)]
    grids = [name for each in (old, new) for name in each.get("settings", [{}])[0]]
    return list(dict.fromkeys([*old.get("varied", []), *grids, *differ]))


_SILENT = ("n", "seed", "logprobs", "prompt_logprobs", "detokenize")
"""Seeds always differ; the others change no text."""


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """The parameters that have one value in all rows of a run."""
    if record.get("kind") not in ("completions", "chat"):
        return {}
    values = {**plain(SamplingParams()), **record["params"], "model": record["model"]["name"]}
    several = ["seed"] * bool(record.get("seed_step")) + [*record.get("settings", [{}])[0]]
    return {
        name: value
        for name, value in values.items()
        if name not in several and isinstance(value, str | int | float | None)
    }


def beside(over: pd.DataFrame, frame: pd.DataFrame, counts: list[int]) -> pd.DataFrame:
    """`frame` with the row of `over` that each of its rows comes from; the index is `over`'s.

    A column of `over` that is called like a column of the result is kept as NAME_over.
    """
    import pandas as pd

    rows = [i for i, count in enumerate(counts) for _ in range(count)]
    left, taken = over.iloc[rows], {*frame.columns, *over.columns}
    names = {}
    for name in [name for name in over.columns if name in frame.columns]:
        names[name] = _free(f"{name}_over", taken)
        taken.add(names[name])
    return pd.concat([left.rename(columns=names), frame.set_index(left.index)], axis=1)


def _free(name: str, taken: set[Any]) -> str:
    while name in taken:
        name += "_over"
    return name
