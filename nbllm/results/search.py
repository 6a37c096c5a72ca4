"""What a beam search returns: `.df`, `.trace`, `.text`, `.outputs`, and a view of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .. import views
from ..outputs import BeamSearchOutput
from ..replays import Made, Recording
from ..sampling_params import BeamSearchParams
from .generation import beside
from .provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd


@dataclass(kw_only=True, eq=False, repr=False)
class Found:
    """What `%%beam` found.

    outputs: one `BeamSearchOutput` per prompt. prompts: what the user wrote, templates filled in.
    over: the frame of `--over`. seconds: how long it took.
    """

    outputs: list[BeamSearchOutput]
    prompts: list[str]
    provenance: Provenance
    seconds: float
    over: pd.DataFrame | None = None

    @cached_property
    def df(self) -> pd.DataFrame:
        """One row per sequence, best first, after the columns of the `--over` frame's row."""
        import pandas as pd

        from ..frames import BEAM_COLUMNS, to_frame

        frame = to_frame(self.outputs)
        if not self.outputs:
            empty = {name: pd.Series(dtype=kind) for name, kind in BEAM_COLUMNS.items()}
            frame = pd.DataFrame(empty)
        if self.over is not None:
            frame = beside(self.over, frame, [len(output.sequences) for output in self.outputs])
        frame.attrs["nbllm"] = self.provenance.attrs()
        return frame

    @cached_property
    def trace(self) -> pd.DataFrame:
        """Every candidate of every step; with `--over` after the columns of the frame's row."""
        import pandas as pd

        from ..frames import TRACE_COLUMNS

        parts = [output.trace_frame() for output in self.outputs]
        empty = [pd.DataFrame(columns=TRACE_COLUMNS)] * (not parts)
        frame = pd.concat(parts or empty, ignore_index=True)
        if self.over is not None:
            frame = beside(self.over, frame, [len(part) for part in parts])
        frame.attrs["nbllm"] = self.provenance.attrs()
        return frame

    @property
    def text(self) -> str:
        """The text of the best sequence; of several prompts, with an empty line between them."""
        return "\n\n".join(o.sequences[0].generated_text for o in self.outputs if o.sequences)

    @property
    def num_tokens(self) -> int:
        """Generated tokens, of all sequences."""
        return sum(len(s.generated_token_ids) for o in self.outputs for s in o.sequences)

    def recording(self) -> Recording:
        """What `nbllm.replay` needs."""
        params = self.provenance.params
        assert isinstance(params, BeamSearchParams)
        return Recording(
            kind="beam",
            model=self.provenance.model,
            requests=list(self.prompts),
            params=[params.clone() for _ in self.prompts],
            expected=[[Made.of(s) for s in output.sequences] for output in self.outputs],
        )

    def __repr__(self) -> str:
        count = sum(len(output.sequences) for output in self.outputs)
        return f"<{type(self).__name__}: {count} sequences, {self.num_tokens} tokens>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        data = views.beams(self.outputs, prompts=self.prompts)
        return views.bundle(data), {
            "nbllm": self.provenance.metadata(self.seconds, self.num_tokens)
        }
