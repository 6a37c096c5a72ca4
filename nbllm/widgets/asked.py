"""What one run of a playground sends, and what has come of it so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from ..outputs import RequestOutput
from ..results.generation import Generation
from ..results.provenance import Provenance
from ..results.work import MAX_TOKENS, Work
from ..sampling_params import SamplingParams
from ..templating import Template

if TYPE_CHECKING:
    from ..llm import LLM
    from .runs import Stream


@dataclass(kw_only=True, eq=False)
class Asked:
    """template, variables, params: as they were set. work: what is sent, with a seed."""

    llm: LLM
    template: str
    variables: Mapping[str, str]
    params: SamplingParams
    work: Work
    provenance: Provenance
    began: float
    output: RequestOutput | None = None

    @classmethod
    def now(
        cls, llm: LLM, template: str, variables: Mapping[str, str], params: SamplingParams
    ) -> Asked:
        """Raises `PromptError` for a template that cannot be filled in."""
        text = Template(template).render(variables)
        work = Work(kind="completions", prompts=[text], requests=[text], params=params)
        work.seed()
        return cls(
            llm=llm,
            template=template,
            variables=variables,
            params=params,
            work=work,
            provenance=Provenance.of(llm.info(), work.params, kind=work.kind),
            began=monotonic(),
        )

    def stream(self) -> Stream:
        """Begin. Raises what `LLM.astream` raises."""
        return self.llm.astream(self.work.requests, self.work.params_of(0))

    def made(self) -> Generation:
        """The result, as `%%generate` would return it."""
        assert self.output is not None
        return Generation(
            outputs=[self.output],
            work=self.work,
            provenance=self.provenance,
            seconds=monotonic() - self.began,
        )


def defaults(llm: LLM) -> SamplingParams:
    """What a magic begins with."""
    return replace(llm.get_default_sampling_params(), max_tokens=MAX_TOKENS)
