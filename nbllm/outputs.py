"""What a caller gets back. Names and shapes are vLLM's; `to_frame()` is ours. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from .beams import History, Hypothesis


@dataclass(slots=True, kw_only=True, frozen=True)
class Logprob:
    """One token at one position. rank is 1 for the likeliest: the number of logits ≥ its own.

    >>> params = SamplingParams(temperature=0, max_tokens=1, logprobs=2)
    >>> [position] = llm.generate("The opposite of hot is", params)[0].outputs[0].logprobs
    >>> [(logprob.decoded_token, logprob.rank) for logprob in position.values()]
    [(' cold', 1), (' bright', 2)]
    """

    logprob: float
    rank: int
    decoded_token: str


def likeliest(position: dict[int, Logprob]) -> list[Logprob]:
    """The likeliest tokens of a position, best first, of one that begins with the token itself.

    That one is among them only if it was likely enough.
    """
    own, *others = position.values()
    top = [own, *others] if own.rank <= len(others) + 1 else others
    return sorted(top, key=lambda p: p.rank)


def entropy(position: dict[int, Logprob]) -> float:
    """In nats, of the tokens of a position and all others taken as one: a lower bound of the model's."""
    shares = [math.exp(p.logprob) for p in position.values()]
    rest = max(0.0, 1.0 - math.fsum(shares))
    return -math.fsum(p * math.log(p) for p in (*shares, rest) if p > 0.0)


@dataclass(slots=True, kw_only=True, frozen=True)
class RequestMetrics:
    """When things happened, in seconds since the epoch; None: not yet."""

    arrival_time: float
    first_token_time: float | None
    finished_time: float | None
    tokens_per_second: float | None


@dataclass(slots=True, kw_only=True, frozen=True)
class CompletionOutput:
    """One completion of a prompt.

    finish_reason: "stop" (EOS, a stop token or a stop string), "length", "abort", or None while it
    runs. stop_reason: the stop string, the stop token's id, or None for EOS.
    logprobs: one dictionary a token, the sampled token first, then the likeliest; None unless asked for.
    cumulative_logprob: the sum of the sampled tokens' log-probabilities under the raw logits.
    reader: makes `message`; None where there is none.

    >>> params = SamplingParams(temperature=0, max_tokens=8, stop=".")
    >>> [completion] = llm.generate("The opposite of hot is", params)[0].outputs
    >>> completion.text, completion.finish_reason, completion.stop_reason
    (' cold', 'stop', '.')
    """

    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float
    logprobs: list[dict[int, Logprob]] | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    reader: Callable[..., dict[str, Any]] | None = field(default=None, repr=False, compare=False)

    @property
    def message(self) -> dict[str, Any] | None:
        """The answer to a conversation as its next message; None for the completion of a plain prompt.

        role, content, reasoning, and tool_calls as OpenAI has them, where the template marks
        reasoning and tools were given; `text` stays as the model wrote it. While the answer grows,
        what may become a tag or a call is held back. A stream of what is new (DELTA) has the whole
        message in the last output, None before.
        """
        return self.reader(partial=self.finish_reason is None) if self.reader else None

    @property
    def content(self) -> str | None:
        """The message's words to the user; None when there are only reasoning or tool calls."""
        return (self.message or {}).get("content")

    @property
    def reasoning(self) -> str | None:
        """What the message says before its content, in a block that the template marks."""
        return (self.message or {}).get("reasoning")

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The message's calls: id, type, and function with a name and arguments as JSON text."""
        return (self.message or {}).get("tool_calls", [])


@dataclass(slots=True, kw_only=True, frozen=True)
class RequestOutput:
    """What one prompt has become so far: `outputs` holds its `n` completions.

    >>> params = SamplingParams(n=2, seed=1, max_tokens=4)
    >>> [output] = llm.generate("Once upon a time", params)
    >>> output.finished, len(output.outputs), len(output.prompt_token_ids)
    (True, 2, 5)
    """

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    finished: bool
    metrics: RequestMetrics
    num_cached_tokens: int = 0
    prompt_logprobs: list[dict[int, Logprob] | None] | None = None

    @property
    def aborted(self) -> bool:
        """Whether any completion was cut short by an interrupt or an abort."""
        return any(completion.finish_reason == "abort" for completion in self.outputs)

    def to_frame(self) -> pd.DataFrame:
        """One row per completion; see `nbllm.to_frame`."""
        from .frames import to_frame

        return to_frame([self])

    def tokens_frame(self) -> pd.DataFrame:
        """One row per generated token; see `frames.tokens_frame`."""
        from .frames import tokens_frame

        return tokens_frame(self)


class BeamSearchSequence:
    """One sequence that a beam search found; everything is made on first use.

    score: cum_logprob / number of generated tokens ** length_penalty. finish_reason: "stop",
    "length", or "abort" for one that was live when the search was interrupted. stop_reason: as in
    `CompletionOutput`.
    """

    def __init__(self, history: History, hypothesis: Hypothesis):
        self._history, self._hypothesis = history, hypothesis
        self.cum_logprob, self.score = hypothesis.cum_logprob, hypothesis.score

    @cached_property
    def generated_token_ids(self) -> list[int]:
        """The tokens after the prompt, EOS kept."""
        return self._history.generated(self._hypothesis)

    @property
    def tokens(self) -> list[int]:
        """The prompt's tokens and the generated ones."""
        return [*self._history.prompt_ids, *self.generated_token_ids]

    @cached_property
    def generated_text(self) -> str:
        """The text after the prompt, cut before a stop string."""
        return self._history.text(self._hypothesis)

    @cached_property
    def text(self) -> str:
        """Prompt and generated text, decoded together."""
        return self._history.whole_text(self._hypothesis)

    @cached_property
    def logprobs(self) -> list[dict[int, Logprob]]:
        """For each generated token itself, then its beam's other candidates, likeliest first."""
        return self._history.alternatives(self._hypothesis)

    @cached_property
    def token_logprobs(self) -> list[float]:
        """The log-probability of each generated token."""
        return self._history.token_logprobs(self._hypothesis)

    @property
    def finish_reason(self) -> str:
        return self._history.reason(self._hypothesis)[0]

    @property
    def stop_reason(self) -> int | str | None:
        return self._history.reason(self._hypothesis)[1]

    def __repr__(self) -> str:
        return (
            f"BeamSearchSequence(score={self.score:.4g}, cum_logprob={self.cum_logprob:.4g}, "
            f"finish_reason={self.finish_reason!r}, generated_text={self.generated_text!r})"
        )


@dataclass(kw_only=True, frozen=True, eq=False)
class BeamSearchOutput:
    """What a beam search found for one prompt. It outlives the LLM that made it.

    finished: whether the search came to its end; if not, the sequences are the best so far.

    >>> params = BeamSearchParams(beam_width=2, max_tokens=2)
    >>> [output] = llm.beam_search("The capital of France is", params)
    >>> output.sequences[0].generated_text
    ' Paris.'
    >>> output.trace_frame()[["step", "rank", "token", "state"]].head(3)
       step  rank    token   state
    0     1     1    Paris    live
    1     1     2   France    live
    2     1     3   Lisbon  pruned
    """

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    finished: bool
    metrics: RequestMetrics
    history: History
    num_cached_tokens: int = 0

    @cached_property
    def sequences(self) -> list[BeamSearchSequence]:
        """The sequences, best first."""
        return [BeamSearchSequence(self.history, h) for h in self.history.hypotheses]

    @property
    def aborted(self) -> bool:
        """Whether the search was cut short by an interrupt or an abort."""
        return not self.finished

    def to_frame(self) -> pd.DataFrame:
        """One row per sequence; see `nbllm.to_frame`."""
        from .frames import to_frame

        return to_frame([self])

    def trace_frame(self) -> pd.DataFrame:
        """The whole search, one row per candidate of every live beam; see `frames.trace_frame`."""
        from .frames import trace_frame

        return trace_frame(self.history)

    def __repr__(self) -> str:
        return f"BeamSearchOutput(prompt={self.prompt!r}, sequences={self.sequences!r})"


@dataclass(slots=True, kw_only=True, frozen=True)
class ScoreOutput:
    """What a continuation is worth behind its prompt: one log-probability a token, of raw logits.

    continuation is None where the prompt itself was scored, from its second token on.
    """

    prompt: str | None
    continuation: str | None
    token_ids: list[int]
    logprobs: list[float]

    @property
    def cumulative_logprob(self) -> float:
        """log p(continuation | prompt)."""
        return math.fsum(self.logprobs)

    @property
    def mean_logprob(self) -> float:
        """The same per token."""
        return self.cumulative_logprob / len(self.logprobs)

    @property
    def perplexity(self) -> float:
        """exp(−mean_logprob)."""
        return math.exp(-self.mean_logprob)

    def to_frame(self) -> pd.DataFrame:
        """One row; see `nbllm.to_frame`."""
        from .frames import to_frame

        return to_frame([self])


@dataclass(slots=True, kw_only=True, frozen=True)
class ChoiceOutput:
    """How likely each choice is behind a prompt; `probabilities` sum to 1 over the choices."""

    prompt: str | None
    choices: list[str]
    probabilities: list[float]
    logprobs: list[float]  # log p(choice | prompt), summed over its tokens
    num_tokens: list[int]

    @property
    def best(self) -> str:
        """The likeliest choice."""
        return self.choices[self.probabilities.index(max(self.probabilities))]

    def to_frame(self) -> pd.DataFrame:
        """One row per choice; see `nbllm.to_frame`."""
        from .frames import to_frame

        return to_frame([self])


@dataclass(slots=True, kw_only=True, frozen=True)
class RequestInfo:
    """A prompt in the engine, at one moment.

    request_id: as its output will have it; all prompts of one call begin with the same number.
    prompt: its last tokens as text. state: "waiting", "prefilling", "running" or "searching".
    num_tokens, max_tokens: generated, and at most, of all its completions; of a search its steps.
    arrival_time: seconds since the epoch.
    """

    request_id: str
    prompt: str
    state: str
    num_prompt_tokens: int
    num_tokens: int
    max_tokens: int
    arrival_time: float


@dataclass(slots=True, kw_only=True, frozen=True)
class ModelInfo:
    """What is loaded, and how. Sizes in bytes; kv_bytes is what the page pool may grow to.

    quantization: how the weights are stored and what became of them; None: they are plain.
    memory: by part, what this model holds on its device now; weights of an adopted model are the user's.
    device_memory: "free" and "total" of the device, whoever uses the rest; empty where nobody tells.
    host_bytes: of the copy of its weights that it keeps on the host while it sleeps.
    """

    name: str
    path: str
    architecture: str
    implementation: str
    quantization: str | None = None
    dtype: str
    device: str
    num_parameters: int
    max_model_len: int
    weight_bytes: int
    kv_bytes: int
    memory: dict[str, int] = field(default_factory=dict)
    device_memory: dict[str, int] = field(default_factory=dict)
    host_bytes: int = 0
    num_pages: int
    num_free_pages: int
    num_running: int
    num_waiting: int
    fingerprint: str
    revision: str | None
    chat_template_hash: str | None
    versions: dict[str, str]


@dataclass(slots=True, kw_only=True, frozen=True)
class Counter:
    """A metric that only grows."""

    name: str
    value: int


@dataclass(slots=True, kw_only=True, frozen=True)
class Gauge:
    """A metric as it is at this moment."""

    name: str
    value: float


@dataclass(slots=True, kw_only=True, frozen=True)
class Histogram:
    """Durations in seconds; `buckets` counts those at most as long as each bound."""

    name: str
    count: int
    sum: float
    buckets: dict[str, int]


Metric = Counter | Gauge | Histogram
