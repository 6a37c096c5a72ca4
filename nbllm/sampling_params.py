"""What a caller may ask for. Plain data, validated where it is set: no torch, no engine.

Names and meanings are vLLM's. A value that breaks a rule is refused when it is given, on
construction and on every assignment, with a `ParamError` (a `ValueError`) that says what was
wrong, what was given and what is allowed.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from .errors import ParamError, did_you_mean

GREEDY_BELOW = 1e-5
"""A temperature below this means: take the likeliest token."""


class RequestOutputKind(Enum):
    """What a stream yields: all text so far, only what is new, or one output at the end.

    >>> params = SamplingParams(temperature=0, max_tokens=3, output_kind=RequestOutputKind.DELTA)
    >>> [output.outputs[0].text for output in llm.stream("The opposite of hot is", params)]
    [' cold', '.', '']
    """

    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


class _Checked:
    """A dataclass whose every assignment is checked; a refused one leaves the object as it was."""

    _RULES: dict[str, Callable[[str, Any], Any]]

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._RULES:
            raise ParamError(
                f"{type(self).__name__} has no field {name!r}{did_you_mean(name, list(self._RULES))}"
            )
        value = self._RULES[name](name, value)
        built = "_built" in self.__dict__
        before = self.__dict__.get(name)
        self.__dict__[name] = value
        if built:
            try:
                self._check_together()
            except ParamError:
                self.__dict__[name] = before
                raise

    def __post_init__(self) -> None:
        self._check_together()
        self.__dict__["_built"] = True

    def _check_together(self) -> None:
        """Rules that involve more than one field."""

    def clone(self):
        """An independent copy; lists and dictionaries are copied, callables are shared."""
        twin = copy.copy(self)
        for name, value in self.__dict__.items():
            if isinstance(value, list | dict):
                twin.__dict__[name] = value.copy()
            elif isinstance(value, _Checked):
                twin.__dict__[name] = value.clone()
        return twin


@dataclass(kw_only=True)
class StructuredOutputsParams(_Checked):
    """What the output has to look like: exactly one of the first five fields.

    json: a JSON schema: a dictionary, its text, or a pydantic model class. The output is JSON that
        fits; a schema with a keyword that cannot be enforced is refused.
    regex: a regular expression that the whole output matches; without look-around, back references.
    choice: a list of strings; the output is one of them.
    grammar: in Lark, with a rule `start`, or EBNF as in GBNF, with a rule `root ::= …`.
    json_object: True for any JSON object.
    whitespace_pattern: with json or json_object, a regular expression of the whitespace allowed
        between JSON tokens; default: no freedom, one space after each comma and colon as
        `json.dumps` writes it.

    When nothing may follow, EOS is sampled and the output ends with "stop", also before min_tokens
    and with ignore_eos (which otherwise means: go on while the grammar can). An output cut by
    max_tokens ends with "length" and may be incomplete.

    >>> digits = StructuredOutputsParams(regex=r"\\d\\d? \\+ \\d\\d? = \\d\\d?")
    >>> params = SamplingParams(seed=1, max_tokens=16, structured_outputs=digits)
    >>> llm.generate("A sum:", params)[0].outputs[0].text
    '0 + 64 = 64'
    """

    json: dict[str, Any] | str | type | None = None
    regex: str | None = None
    choice: Sequence[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    whitespace_pattern: str | None = None

    def _check_together(self) -> None:
        kinds = ("json", "regex", "choice", "grammar", "json_object")
        given = [k for k in kinds if getattr(self, k) not in (None, False)]
        if len(given) != 1:
            raise ParamError(
                "StructuredOutputsParams takes exactly one of json, regex, choice, grammar, "
                f"json_object; got {', '.join(given) or 'none'}"
            )
        if self.whitespace_pattern is not None and given[0] not in ("json", "json_object"):
            raise ParamError(f"whitespace_pattern goes with json or json_object, not {given[0]}")


def _number(low: float, high: float, *, open_low: bool = False) -> Callable[[str, Any], float]:
    left = "(" if open_low else "["
    allowed = (
        f"{left}{low:g}, {high:g}]"
        if math.isfinite(high)
        else f"{'>' if open_low else '≥'} {low:g}"
    )

    def rule(name: str, value: Any) -> float:
        number = _real(name, value, allowed)
        if not (low < number <= high or (number == low and not open_low)):
            raise ParamError(f"{name} must lie in {allowed}, got {value!r}")
        return number

    return rule


def _real(name: str, value: Any, allowed: str) -> float:
    # numpy and pandas scalars have __float__ too; bool and str are mistakes
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        raise ParamError(f"{name} must be a number in {allowed}, got {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise ParamError(f"{name} must be a finite number in {allowed}, got {value!r}")
    return number


def _integer(allowed: str, test: Callable[[int], bool]) -> Callable[[str, Any], int]:
    def rule(name: str, value: Any) -> int:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise ParamError(f"{name} must be an integer ({allowed}), got {value!r}")
        if not test(number := value.__index__()):
            raise ParamError(f"{name} must be {allowed}, got {number}")
        return number

    return rule


def _optional(rule: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: None if value is None else rule(name, value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ParamError(f"{name} must be True or False, got {value!r}")
    return value


def _strings(name: str, value: Any) -> list[str]:
    items = [] if value is None else [value]
    if isinstance(value, Iterable) and not isinstance(value, str):
        items = list(value)
    if any(not isinstance(item, str) or not item for item in items):
        raise ParamError(f"{name} must be a string or a list of strings, none empty; got {value!r}")
    return items


def _token_ids(name: str, value: Any) -> list[int] | None:
    if value is None:
        return None
    items = list(value) if not isinstance(value, str) and hasattr(value, "__iter__") else [value]
    return [_integer("token ids ≥ 0", lambda i: i >= 0)(name, item) for item in items]


def _stop_token_ids(name: str, value: Any) -> list[int]:
    return _token_ids(name, value) or []


def _allowed_token_ids(name: str, value: Any) -> list[int] | None:
    if (ids := _token_ids(name, value)) == []:
        raise ParamError("allowed_token_ids must not be empty; None allows every token")
    return ids


def _logit_bias(name: str, value: Any) -> dict[int, float] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ParamError(f"logit_bias must map token ids to biases, got {value!r}")
    bias, token = _number(-100, 100), _integer("a token id ≥ 0", lambda i: i >= 0)
    # keys arrive as strings from JSON
    return {
        token(name, int(k) if isinstance(k, str) and k.isdigit() else k): bias(name, v)
        for k, v in value.items()
    }


def _processors(name: str, value: Any) -> list[Callable] | None:
    if value is None:
        return None
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not all(callable(item) for item in items):
        raise ParamError(f"{name} must be callables f(token_ids, logits) -> logits, got {value!r}")
    return items


def _structured(name: str, value: Any) -> StructuredOutputsParams | None:
    if value is not None and not isinstance(value, StructuredOutputsParams):
        raise ParamError(f"{name} must be a StructuredOutputsParams, got {value!r}")
    return value


def _output_kind(name: str, value: Any) -> RequestOutputKind:
    if not isinstance(value, RequestOutputKind):
        kinds = ", ".join(str(kind) for kind in RequestOutputKind)
        raise ParamError(f"{name} must be one of {kinds}; got {value!r}")
    return value


def _seed(name: str, value: Any) -> int | None:
    if (
        value is None
        or (seed := _integer("an integer, or None", lambda _: True)(name, value)) == -1
    ):
        return None
    return seed


def _schema(name: str, value: Any) -> dict[str, Any] | str | type | None:
    if value is None or (isinstance(value, type) and hasattr(value, "model_json_schema")):
        return value
    if not isinstance(value, dict | str):
        raise ParamError(
            f"{name} must be a JSON schema (a dictionary, its text, or a pydantic model class), "
            f"got {value!r}"
        )
    try:
        text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
        schema = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParamError(f"{name} must be a JSON schema: {error}; got {value!r}") from None
    if not isinstance(schema, dict):
        raise ParamError(f"{name} must be a JSON schema, which is an object; got {value!r}")
    return value


def _text(name: str, value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and value):
        raise ParamError(f"{name} must be a string, not empty; got {value!r}")
    return value


def _choice(name: str, value: Any) -> list[str] | None:
    if value is None:
        return None
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
    if not items or not all(isinstance(item, str) for item in items):
        raise ParamError(f"{name} must be a list of strings, at least one; got {value!r}")
    return items


StructuredOutputsParams._RULES = {
    "json": _schema,
    "regex": _text,
    "choice": _choice,
    "grammar": _text,
    "json_object": _optional(_flag),
    "whitespace_pattern": _text,
}

_COUNT = _optional(_integer("≥ −1", lambda i: i >= -1))


@dataclass(kw_only=True)
class SamplingParams(_Checked):
    """How to pick tokens.

    n: completions per prompt (child i samples with `seed + i`); must be 1 when greedy.
    temperature: 0 … 2; below 1e-5 the likeliest token is taken.
    top_p: keep the smallest set of tokens whose probabilities reach it, (0, 1].
    top_k: keep the k likeliest tokens; 0 or −1 keeps all.
    min_p: keep tokens at least this share as likely as the likeliest, [0, 1].
    seed: makes the tokens a function of the request alone; None or −1 draws one.
    max_tokens: tokens to generate at most; None fills the context.
    min_tokens: EOS and stop tokens are masked, and stop strings wait, until this many.
    stop, stop_token_ids: end at the first of these; the text is cut before a stop string.
    include_stop_str_in_output: cut after it instead.
    ignore_eos: EOS neither stops nor is masked.
    logprobs: per position the sampled token's and the k likeliest tokens' log-probabilities
        (raw logits); −1: the whole vocabulary.
    presence_penalty, frequency_penalty: −2 … 2, over generated tokens.
    repetition_penalty: 10⁻⁶ … 10⁶, over prompt and generated tokens; 1 is off.
    prompt_logprobs, logit_bias, allowed_token_ids, bad_words, structured_outputs,
    logits_processors, truncate_prompt_tokens: as in vLLM.
    detokenize, skip_special_tokens, spaces_between_special_tokens: how ids become text.
    output_kind: what a stream yields.

    >>> params = SamplingParams(temperature=0.8, top_p=0.95, max_tokens=100)
    >>> params.max_tokens = 0
    Traceback (most recent call last):
    nbllm.errors.ParamError: max_tokens must be ≥ 1, or None for the whole context, got 0
    """

    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE
    bad_words: list[str] | None = None
    logit_bias: dict[int, float] | None = None
    allowed_token_ids: list[int] | None = None
    structured_outputs: StructuredOutputsParams | None = None
    logits_processors: list[Callable] | None = None
    truncate_prompt_tokens: int | None = None

    @property
    def stop_strings(self) -> list[str]:
        """`stop` as a list, empty for none."""
        return cast(list[str], self.stop)

    @property
    def stop_ids(self) -> list[int]:
        """`stop_token_ids` as a list, empty for none."""
        return cast(list[int], self.stop_token_ids)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature < GREEDY_BELOW

    @property
    def penalizes(self) -> bool:
        """Whether any of the three penalties is on."""
        return (
            self.repetition_penalty != 1.0
            or self.frequency_penalty != 0.0
            or self.presence_penalty != 0.0
        )

    def _check_together(self) -> None:
        if self.greedy and self.n > 1:
            raise ParamError(
                f"n must be 1 when temperature is 0 (greedy gives the same text every time), got n={self.n}"
            )
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise ParamError(
                f"min_tokens must be at most max_tokens, got {self.min_tokens} > {self.max_tokens}"
            )
        if self.stop and not self.detokenize:
            raise ParamError("stop strings need detokenize=True; use stop_token_ids instead")


RANGES = {
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "repetition_penalty": (1e-6, 1e6),
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
}
"""Least and greatest value of the fields of `SamplingParams` that are not whole numbers; `top_p` is greater
than its 0. Logits times a `repetition_penalty` have to stay finite in float32."""

SamplingParams._RULES = {
    "n": _integer("≥ 1", lambda i: i >= 1),
    "presence_penalty": _number(*RANGES["presence_penalty"]),
    "frequency_penalty": _number(*RANGES["frequency_penalty"]),
    "repetition_penalty": _number(*RANGES["repetition_penalty"]),
    "temperature": _number(*RANGES["temperature"]),
    "top_p": _number(*RANGES["top_p"], open_low=True),
    "top_k": _integer("0 or −1 (off) or ≥ 1", lambda i: i >= -1),
    "min_p": _number(*RANGES["min_p"]),
    "seed": _seed,
    "stop": _strings,
    "stop_token_ids": _stop_token_ids,
    "ignore_eos": _flag,
    "max_tokens": _optional(_integer("≥ 1, or None for the whole context", lambda i: i >= 1)),
    "min_tokens": _integer("≥ 0", lambda i: i >= 0),
    "logprobs": _COUNT,
    "prompt_logprobs": _COUNT,
    "detokenize": _flag,
    "skip_special_tokens": _flag,
    "spaces_between_special_tokens": _flag,
    "include_stop_str_in_output": _flag,
    "output_kind": _output_kind,
    "bad_words": _strings,
    "logit_bias": _logit_bias,
    "allowed_token_ids": _allowed_token_ids,
    "structured_outputs": _structured,
    "logits_processors": _processors,
    "truncate_prompt_tokens": _optional(_integer("≥ 1", lambda i: i >= 1)),
}


def _needed(rule: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    def needed(name: str, value: Any) -> Any:
        if value is None:
            raise ParamError(f"BeamSearchParams needs {name}, for example {name}=5")
        return rule(name, value)

    return needed


def _early_stopping(name: str, value: Any) -> bool | str | None:
    if value is not None and not isinstance(value, bool) and value != "never":
        raise ParamError(f"{name} must be None, True, False or 'never', got {value!r}")
    return value


_MISSING = cast(int, None)


@dataclass(kw_only=True)
class BeamSearchParams(_Checked):
    """How to search for the likeliest continuations.

    beam_width: sequences that live on after every step; max_tokens: steps at most. Both are needed.
    ignore_eos: EOS is a token like any other.
    temperature: 0 or 1 scores by the model's log-probabilities, another one by those of logits / T.
    length_penalty: a sequence's score is its log-probability / num_tokens ** length_penalty, −10 … 10.
    stop, stop_token_ids: complete a sequence, as EOS does; the text is cut before a stop string.
    include_stop_str_in_output: cut after it instead, and keep the text of EOS and stop tokens.
    skip_special_tokens: leave special tokens out of the text.
    allowed_token_ids: search among these tokens only.
    structured_outputs: what the text has to look like.
    early_stopping: None is vLLM's search: every step completes what it completes, and the search
        goes on for max_tokens steps. True, False or "never" is Hugging Face's: only candidates
        ranked inside the beam width complete; True ends at beam_width completed sequences, False
        and "never" when no live one can beat the worst of them (judged by its present length, or by
        the longest possible).
    num_return_sequences: sequences to return, at most beam_width; None: beam_width.
    num_beam_groups, diversity_penalty: the beams search in groups of equal size, one after the other;
        a token costs diversity_penalty for every beam of an earlier group that has just taken it.
        The penalty bears on the choice alone: log-probabilities and scores are without it
        (Vijayakumar et al. 2016, Hamming diversity).

    >>> BeamSearchParams(beam_width=4, max_tokens=50, early_stopping=True).num_returned
    4
    """

    beam_width: int = _MISSING
    max_tokens: int = _MISSING
    ignore_eos: bool = False
    temperature: float = 0.0
    length_penalty: float = 1.0
    include_stop_str_in_output: bool = False
    skip_special_tokens: bool = True
    allowed_token_ids: list[int] | None = None
    structured_outputs: StructuredOutputsParams | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    early_stopping: bool | str | None = None
    num_return_sequences: int | None = None
    num_beam_groups: int = 1
    diversity_penalty: float = 0.0

    @property
    def stop_strings(self) -> list[str]:
        """`stop` as a list, empty for none."""
        return cast(list[str], self.stop)

    @property
    def stop_ids(self) -> list[int]:
        """`stop_token_ids` as a list, empty for none."""
        return cast(list[int], self.stop_token_ids)

    @property
    def num_returned(self) -> int:
        """Sequences to return."""
        return self.num_return_sequences or self.beam_width

    def _check_together(self) -> None:
        width, groups = self.beam_width, self.num_beam_groups
        if (self.num_return_sequences or 0) > width:
            raise ParamError(
                f"num_return_sequences must be at most beam_width={width}, "
                f"got {self.num_return_sequences}"
            )
        if width % groups:
            raise ParamError(f"num_beam_groups must divide beam_width={width}, got {groups}")
        if groups > 1 and self.early_stopping is not None:
            raise ParamError(
                f"num_beam_groups={groups} needs early_stopping=None, got {self.early_stopping!r}"
            )
        if self.diversity_penalty and groups == 1:
            raise ParamError(
                f"diversity_penalty={self.diversity_penalty:g} needs num_beam_groups of at least 2"
            )


BeamSearchParams._RULES = {
    "beam_width": _needed(_integer("≥ 1", lambda i: i >= 1)),
    "max_tokens": _needed(_integer("≥ 1", lambda i: i >= 1)),
    "ignore_eos": _flag,
    "temperature": _number(0, 2),
    "length_penalty": _number(-10, 10),
    "include_stop_str_in_output": _flag,
    "skip_special_tokens": _flag,
    "allowed_token_ids": _allowed_token_ids,
    "structured_outputs": _structured,
    "stop": _strings,
    "stop_token_ids": _stop_token_ids,
    "early_stopping": _early_stopping,
    "num_return_sequences": _optional(_integer("≥ 1", lambda i: i >= 1)),
    "num_beam_groups": _integer("≥ 1", lambda i: i >= 1),
    "diversity_penalty": _number(0, math.inf),
}
