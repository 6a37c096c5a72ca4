"""What a magic returns: `.df`, `.text`, `.outputs`, and a view of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .. import views
from ..outputs import RequestOutput
from ..replays import Made, Recording

if TYPE_CHECKING:
    import pandas as pd

    from .provenance import Provenance
    from .work import Work


@dataclass(kw_only=True, eq=False, repr=False)
class Generation:
    """What `%%generate` made; also `%%chat --over`, where every row is a conversation of its own.

    outputs: one `RequestOutput` per prompt and setting. work: what was sent. over: the frame of
    `--over`. before: the frame that `--append` adds to. seconds: how long it took.
    """

    outputs: list[RequestOutput]
    work: Work
    provenance: Provenance
    seconds: float
    over: pd.DataFrame | None = None
    before: pd.DataFrame | None = None

    @cached_property
    def df(self) -> pd.DataFrame:
        """One row per completion, after the columns of the `--over` frame's row.

        Settings that vary are columns at the end. With `--append` the rows of before come first.
        """
        from ..frames import to_frame

        frame = self._with_over(
            self._with_settings(to_frame(self.outputs), self._counts), self._counts
        )
        tails = {"tails": self._tails} if self.work.tails else {}
        frame.attrs["nbllm"] = {**self.provenance.attrs(), "num_rows": len(frame), **tails}
        return frame if self.before is None else appended(self.before, frame)

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
        data = views.completions(
            self.outputs,
            kind=self.provenance.kind,
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


def appended(before: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of both; the index counts on where both only count. The record is the newest run's."""
    import pandas as pd

    counted = all(isinstance(each.index, pd.RangeIndex) for each in (before, frame))
    parts = [each for each in (before, frame) if len(each.columns)]
    whole = pd.concat(parts, ignore_index=counted)
    whole.attrs.update(before.attrs)
    whole.attrs["nbllm"] = {**frame.attrs["nbllm"], "appended_to": len(before)}
    return whole


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
