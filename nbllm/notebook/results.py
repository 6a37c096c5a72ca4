"""What a magic returns: `.df`, `.text`, `.outputs`, and a view of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .. import views
from ..outputs import RequestOutput

if TYPE_CHECKING:
    import pandas as pd

    from .provenance import Provenance


@dataclass(kw_only=True, eq=False, repr=False)
class Generation:
    """What `%%generate` made; also `%%chat --over`, where every row is a conversation of its own.

    outputs: one `RequestOutput` per prompt. prompts: what the user wrote, templates filled in.
    over: the frame of `--over`. seconds: how long it took.
    """

    outputs: list[RequestOutput]
    prompts: list[str]
    provenance: Provenance
    seconds: float
    over: pd.DataFrame | None = None

    @cached_property
    def df(self) -> pd.DataFrame:
        """One row per completion, after the columns of the `--over` frame's row."""
        from ..frames import to_frame

        frame = to_frame(self.outputs)
        if self.over is not None:
            frame = beside(self.over, frame, [len(output.outputs) for output in self.outputs])
        frame.attrs["nbllm"] = self.provenance.attrs()
        return frame

    @property
    def text(self) -> str:
        """The generated text; of several completions, with an empty line between them."""
        return "\n\n".join(c.text for output in self.outputs for c in output.outputs)

    @property
    def num_tokens(self) -> int:
        """Generated tokens, of all completions."""
        return sum(len(c.token_ids) for output in self.outputs for c in output.outputs)

    def __repr__(self) -> str:
        count = sum(len(output.outputs) for output in self.outputs)
        return f"<{type(self).__name__}: {count} completions, {self.num_tokens} tokens>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        data = views.completions(self.outputs, kind=self.provenance.kind, prompts=self.prompts)
        return views.bundle(data), {
            "nbllm": self.provenance.metadata(self.seconds, self.num_tokens)
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
