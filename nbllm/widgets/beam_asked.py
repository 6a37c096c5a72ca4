"""What one run of a beam explorer sends, and what has come of it so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..errors import ParamError
from ..outputs import BeamSearchOutput
from ..results.provenance import Provenance
from ..results.search import Found
from ..sampling_params import BeamSearchParams

if TYPE_CHECKING:
    from ..llm import LLM
    from .runs import BeamStream


@dataclass(kw_only=True, eq=False)
class AskedSearch:
    """prompt: as it is shown. sent: what is sent for it, a text or token ids."""

    llm: LLM
    prompt: str
    sent: Any
    params: BeamSearchParams
    provenance: Provenance
    began: float
    output: BeamSearchOutput | None = None

    @classmethod
    def now(cls, llm: LLM, prompt: str, sent: Any, params: BeamSearchParams) -> AskedSearch:
        """Of a search that begins now."""
        return cls(
            llm=llm,
            prompt=prompt,
            sent=sent,
            params=params,
            provenance=Provenance.of(llm.info(), params, kind="beam"),
            began=monotonic(),
        )

    def stream(self) -> BeamStream:
        """Begin. Raises what `LLM.astream_beams` raises."""
        return self.llm.astream_beams([self.sent], self.params)

    def made(self) -> Searched:
        """What has come of it."""
        assert self.output is not None
        return Searched(
            output=self.output,
            prompt=self.prompt,
            provenance=self.provenance,
            seconds=monotonic() - self.began,
        )


@dataclass(kw_only=True, frozen=True, eq=False)
class Searched:
    """A search that was made. provenance: None where nobody knows what made it."""

    output: BeamSearchOutput
    prompt: str
    provenance: Provenance | None = None
    seconds: float = 0.0

    @classmethod
    def of(cls, given: BeamSearchOutput | Found) -> Searched:
        """What `%%beam` or `LLM.beam_search` returned. Raises `ParamError` for anything else."""
        if isinstance(given, Found):
            if len(given.outputs) != 1:
                raise ParamError(
                    f"one search can be explored, got {len(given.outputs)}: "
                    "take one of its .outputs, as in BeamExplorer(found.outputs[0])"
                )
            return cls(
                output=given.outputs[0],
                prompt=given.prompts[0],
                provenance=given.provenance,
                seconds=given.seconds,
            )
        if not isinstance(given, BeamSearchOutput):
            raise ParamError(
                "BeamExplorer takes a prompt, or what %%beam or LLM.beam_search returned, "
                f"got {type(given).__name__}"
            )
        history = given.history
        text = history.decode(history.prompt_ids) if given.prompt is None else given.prompt
        return cls(output=given, prompt=text)

    @property
    def params(self) -> BeamSearchParams:
        return self.output.history.params

    def found(self) -> Found | None:
        """As `%%beam` would return it; None where nobody knows what made it."""
        if self.provenance is None:
            return None
        return Found(
            outputs=[self.output],
            prompts=[self.prompt],
            provenance=self.provenance,
            seconds=self.seconds,
        )

    def under(self, output: BeamSearchOutput) -> Searched:
        """The same, re-ranked."""
        known = self.provenance and replace(self.provenance, params=output.history.params)
        return replace(self, output=output, provenance=known)
