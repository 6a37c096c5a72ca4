"""The runs of a playground: what was set, what came of it, and all of it as a frame or as a view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from .. import views
from ..errors import ParamError
from ..results.generation import Generation
from ..results.provenance import plain
from ..sampling_params import SamplingParams
from ..views.visible import one_line, shortened

if TYPE_CHECKING:
    import pandas as pd

    from .asked import Asked

MOST = 200
"""Runs that are kept; the oldest go first."""


@dataclass(kw_only=True, frozen=True, eq=False)
class Entry:
    """One run. number: from 1. template, variables, params: as they were set.

    params of the generation are those that were sent: with a seed.
    """

    number: int
    template: str
    variables: Mapping[str, str]
    params: SamplingParams
    generation: Generation

    @property
    def sent(self) -> SamplingParams:
        """Its parameters, with the seed that was drawn."""
        return self.generation.work.params_of(0)

    def summary(self, defaults: SamplingParams) -> dict[str, Any]:
        """One line of a list, as JSON has it."""
        [output] = self.generation.outputs
        first = output.outputs[0]
        return {
            "run": self.number,
            "prompt": shortened(one_line(output.prompt or ""), 80),
            "settings": said(self.sent, defaults),
            "text": shortened(one_line(first.text), 120),
            "reason": first.finish_reason,
            "num_tokens": self.generation.num_tokens,
        }


class History:
    """The runs that are kept, oldest first, and the pinned ones by name."""

    def __init__(self):
        self.entries: list[Entry] = []
        self.pins: dict[str, Entry] = {}
        self._count = 0

    def add(self, asked: Asked) -> Entry:
        """A run has ended."""
        self._count += 1
        entry = Entry(
            number=self._count, template=asked.template, variables=asked.variables,
            params=asked.params, generation=asked.made(),
        )  # fmt: skip
        self.entries = [*self.entries, entry][-MOST:]
        return entry

    def find(self, run: int) -> Entry:
        """The run of that number. Raises `ParamError`."""
        for entry in self.entries:
            if entry.number == run:
                return entry
        raise ParamError(f"run {run} is not in the history")


def said(params: SamplingParams, defaults: SamplingParams) -> str:
    """The temperature, and what else is not as it is by default."""
    values = {
        f.name: value
        for f in fields(params)
        if (value := getattr(params, f.name)) != getattr(defaults, f.name)
        and f.name not in ("logprobs", "output_kind", "logits_processors")
    }
    return ", ".join(
        f"{k}={v}" for k, v in {"temperature": params.temperature, **values}.items() if v != []
    )


def frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """One row per completion: run, variables, the columns of every frame, then seed and what varies."""
    import pandas as pd

    if not entries:
        return pd.DataFrame({"run": pd.Series(dtype="int64")})
    sent = [plain(entry.sent) for entry in entries]
    varies = [n for n in sent[0] if n == "seed" or any(s.get(n) != sent[0][n] for s in sent)]
    names = dict.fromkeys(name for entry in entries for name in entry.variables)
    parts = []
    for entry, values in zip(entries, sent, strict=True):
        part = entry.generation.df.copy()
        part.insert(0, "run", entry.number)
        for place, name in enumerate(names, 1):
            column = f"{name}_variable" if name in part.columns else name
            part.insert(place, column, entry.variables.get(name))
        # a list is one value of a cell
        parts.append(part.assign(**{n: [values[n]] * len(part) for n in varies}))
    whole = pd.concat(parts, ignore_index=True)
    whole.attrs.clear()
    return whole


def bundle(entries: Mapping[str, Entry]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A mime bundle and its metadata of some runs, by what to call them; of one it is its own."""
    [*_, last] = entries.values()
    if len(entries) == 1:
        return last.generation._repr_mimebundle_()
    generations = [entry.generation for entry in entries.values()]
    data = views.completions(
        [g.outputs[0] for g in generations],
        prompts=[g.prompts[0] for g in generations],
        settings=[f"{name}: {said(e.sent, SamplingParams())}" for name, e in entries.items()],
    )
    metadata = last.generation._repr_mimebundle_()[1]
    if len({g.provenance.model["fingerprint"] for g in generations}) > 1:
        # of several models there is no record that could be replayed
        return views.bundle(data), {}
    metadata["nbllm"] |= {
        "settings": [plain(entry.sent) for entry in entries.values()],
        "token_ids": [[c.token_ids for c in g.outputs[0].outputs] for g in generations],
    }
    return views.bundle(data), metadata
