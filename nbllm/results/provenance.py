"""What it takes to make a result again: kept in the output's metadata, so in the saved notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
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

    params of what is neither sampled nor searched is a dictionary. A beam search draws nothing, so it has no seed. settings: of `--grid`, each overrides params;
    every prompt ran under every setting, in that order. chat: options for messages.
    """

    run: str
    kind: str
    model: dict[str, Any]
    params: SamplingParams | BeamSearchParams | dict[str, Any]
    seed_step: int
    started: str
    settings: Sequence[dict[str, Any]] = field(default_factory=lambda: [{}])
    chat: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        info: ModelInfo,
        params: SamplingParams | BeamSearchParams | dict[str, Any],
        *,
        kind: str,
        seed_step: int = 0,
        **more: Any,
    ) -> Provenance:
        """Of a run that starts now."""
        return cls(
            run=uuid4().hex[:12],
            kind=kind,
            model={name: getattr(info, name) for name in _MODEL.split()},
            params=params,
            seed_step=seed_step,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            **more,
        )

    @property
    def values(self) -> dict[str, Any]:
        """The parameters as JSON has them."""
        return plain(self.params)

    def attrs(self) -> dict[str, Any]:
        """The small record for `DataFrame.attrs`, which pandas copies in every operation.

        It is JSON, so that it travels in a parquet file, and it is what `nbllm.replay` needs besides
        the rows: of the parameters those that are not at their defaults.
        """
        model = {name: self.model[name] for name in ("name", "fingerprint", "dtype")}
        record = {
            "run": self.run,
            "kind": self.kind,
            "model": model,
            "seed": getattr(self.params, "seed", None),
            "seed_step": self.seed_step,
            "params": plain(self.params, defaults=False),
        }
        if len(self.settings) > 1:
            record["settings"] = [plain_values(setting) for setting in self.settings]
        return record

    def metadata(self, seconds: float, num_tokens: int, **more: Any) -> dict[str, Any]:
        """Everything, for the output's metadata."""
        rate = round(num_tokens / seconds, 1) if seconds > 0 else None
        record = {
            "run": self.run,
            "kind": self.kind,
            "model": self.model,
            "params": plain(self.params),
            "seed_step": self.seed_step,
            "started": self.started,
            "seconds": round(seconds, 3),
            "num_tokens": num_tokens,
            "tokens_per_second": rate,
        }
        if len(self.settings) > 1:
            record["settings"] = [plain_values(setting) for setting in self.settings]
        if self.chat:
            record["chat"] = self.chat
        return {**record, **more}


def plain(
    params: SamplingParams | BeamSearchParams | dict[str, Any], *, defaults: bool = True
) -> dict[str, Any]:
    """The parameters as JSON has them. defaults: also those at their defaults.

    Processors of logits are functions: their names are all that can be kept of them.
    """
    if isinstance(params, dict):
        return params
    values = {f.name: getattr(params, f.name) for f in fields(params) if f.name != "output_kind"}
    if not defaults:
        values = {
            f.name: values[f.name]
            for f in fields(params)
            if f.name in values and values[f.name] != f.default and values[f.name] != []
        }
    return plain_values(values)


def plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of parameters as JSON has them."""
    found = dict(values)
    if found.get("structured_outputs") is not None:
        wanted = found["structured_outputs"]
        given = {f.name: getattr(wanted, f.name) for f in fields(wanted)}
        if hasattr(given["json"], "model_json_schema"):
            given["json"] = given["json"].model_json_schema()
        found["structured_outputs"] = {n: v for n, v in given.items() if v is not None}
    if found.get("logits_processors"):
        functions = found["logits_processors"]
        found["logits_processors"] = [getattr(f, "__qualname__", repr(f)) for f in functions]
    elif "logits_processors" in found:
        del found["logits_processors"]
    if found.get("logit_bias"):
        found["logit_bias"] = {str(token): bias for token, bias in found["logit_bias"].items()}
    return found
