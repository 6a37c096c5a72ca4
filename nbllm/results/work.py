"""What one run sends: every prompt under every setting, in that order."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ..sampling_params import RequestOutputKind, SamplingParams

MAX_TOKENS = 256
"""What is generated at most, unless told; an answer in a conversation has what the context leaves."""
Setting = dict[str, Any]
"""Fields of `SamplingParams` that override a run's own."""


@dataclass(kw_only=True)
class Work:
    """Prompt i under setting s is request i * len(settings) + s.

    prompts: what to show for each prompt; requests: what is sent for it, a text or messages.
    settings: fields that override `params`. tails: prompt → tokens of its end to send (`--trim`).
    chat: options of `LLM.stream` for messages. resumable: whether it may go on after an interrupt.
    """

    kind: str
    prompts: Sequence[str]
    requests: Sequence[Any]
    params: SamplingParams
    settings: Sequence[Setting] = field(default_factory=lambda: [{}])
    tails: Mapping[int, int] = field(default_factory=dict)
    chat: dict[str, Any] = field(default_factory=dict)
    resumable: bool = False
    seed_step: int = 0

    def __len__(self) -> int:
        return len(self.prompts) * len(self.settings)

    def prompt(self, place: int) -> str:
        return self.prompts[place // len(self.settings)]

    def request(self, place: int) -> Any:
        return self.requests[place // len(self.settings)]

    @cached_property
    def shown(self) -> list[str]:
        """What to show as the prompt of each request."""
        return [prompt for prompt in self.prompts for _ in self.settings]

    @property
    def num_completions(self) -> int:
        """Of the whole run."""
        return len(self.prompts) * sum(p.n for p in self._bases)

    @cached_property
    def _bases(self) -> list[SamplingParams]:
        """The parameters of each setting; a wrong combination is refused here."""
        return [replace(self.params, **setting) for setting in self.settings]

    def check(self) -> None:
        """Raise `ParamError` for a combination of settings that there cannot be."""
        _ = self._bases

    def seed(self, seed: int | None = None) -> None:
        """Give it a seed, and say how far apart the seeds of its prompts are.

        A seed that the user gave goes to every prompt, as in `LLM.generate`. Without one `seed` is
        taken, or one is drawn, so that the run can be made again; then prompts differ, or equal
        prompts would get equal texts. Settings share the seed of their prompt.
        """
        if self.params.seed is None:
            self.seed_step = max(p.n for p in self._bases)
            self.params = replace(self.params, seed=draw_seed() if seed is None else seed)
            del self.__dict__["_bases"]

    def params_of(self, place: int, kind: RequestOutputKind | None = None) -> SamplingParams:
        """The parameters of one request."""
        i, s = divmod(place, len(self.settings))
        params = self._bases[s].clone()
        if "seed" not in self.settings[s] and params.seed is not None:
            params.seed += i * self.seed_step
        if i in self.tails:
            params.truncate_prompt_tokens = self.tails[i]
        if kind is not None:
            params.output_kind = kind
        return params


def draw_seed() -> int:
    """A seed by chance. Not from `random`: its state is the user's."""
    return secrets.randbits(31)
