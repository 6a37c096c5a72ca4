"""What it takes to make a result again: kept in the output's metadata, so in the saved notebook."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..sampling_params import BeamSearchParams, SamplingParams

if TYPE_CHECKING:
    from ..llm import ModelInfo

_MODEL = "name path revision fingerprint architecture implementation dtype device chat_template_hash versions"


@dataclass(kw_only=True, frozen=True)
class Provenance:
    """Of one run. seed_step: prompt i was sampled with seed `params.seed + i * seed_step`.

    A beam search draws nothing, so it has no seed.
    """

    run: str
    kind: str
    model: dict[str, Any]
    params: SamplingParams | BeamSearchParams
    seed_step: int
    started: str

    @classmethod
    def of(
        cls,
        info: ModelInfo,
        params: SamplingParams | BeamSearchParams,
        *,
        kind: str,
        seed_step: int,
    ) -> Provenance:
        """Of a run that starts now."""
        return cls(
            run=uuid4().hex[:12],
            kind=kind,
            model={name: getattr(info, name) for name in _MODEL.split()},
            params=params,
            seed_step=seed_step,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def attrs(self) -> dict[str, Any]:
        """The small record for `DataFrame.attrs`, which pandas copies in every operation."""
        model = {name: self.model[name] for name in ("name", "fingerprint")}
        return {"run": self.run, "model": model, "seed": getattr(self.params, "seed", None)}

    def metadata(self, seconds: float, num_tokens: int) -> dict[str, Any]:
        """Everything, for the output's metadata."""
        rate = round(num_tokens / seconds, 1) if seconds > 0 else None
        return {
            "run": self.run,
            "kind": self.kind,
            "model": self.model,
            "params": _plain(self.params),
            "seed_step": self.seed_step,
            "started": self.started,
            "seconds": round(seconds, 3),
            "num_tokens": num_tokens,
            "tokens_per_second": rate,
        }


def _plain(params: SamplingParams | BeamSearchParams) -> dict[str, Any]:
    """Every parameter after defaults, as JSON has it."""
    values = {f.name: getattr(params, f.name) for f in fields(params)}
    return {
        name: value
        for name, value in values.items()
        if name not in ("output_kind", "logits_processors")
    }


def seeded(params: SamplingParams) -> tuple[SamplingParams, int]:
    """`params` with a seed, and how far apart the seeds of its prompts are.

    A seed that the user gave goes to every prompt, as in `LLM.generate`. Without one a seed is drawn,
    so that the run can be made again; then prompts differ, or equal prompts would get equal texts.
    """
    if params.seed is not None:
        return params, 0
    # not from `random`: its state is the user's
    return replace(params, seed=secrets.randbits(31)), params.n


def per_prompt(params: SamplingParams, seed_step: int, num_prompts: int) -> list[SamplingParams]:
    """The parameters of each prompt of a run."""
    first = params.seed or 0
    return [replace(params, seed=first + i * seed_step) for i in range(num_prompts)]
