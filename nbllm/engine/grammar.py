"""What an output has to look like: from `StructuredOutputsParams` to the tokens allowed next.

The grammars are llguidance's: an Earley parser over derivatives of regular expressions, which walks
the vocabulary as a trie (https://github.com/guidance-ai/llguidance). It is imported on first use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from nbllm.errors import ParamError
from nbllm.sampling_params import StructuredOutputsParams

from .matcher import Matcher, fill, reason_of
from .text import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

REMEMBERED = 64
"""Compiled grammars kept per model."""

SEPARATORS = (", ", ": ")
"""Between JSON's items, and after its keys: as `json.dumps` writes them, and models have read them.
Without the spaces a model has to write what it has never seen, and the values suffer, too."""


class Grammars:
    """Compiles grammars for one vocabulary, each content once. Costs nothing until it is asked."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, eos_ids: Iterable[int]):
        self.tokenizer, self.vocab_size, self.eos_ids = tokenizer, vocab_size, sorted(eos_ids)
        self._compiled = lru_cache(REMEMBERED)(self._compile)

    def matcher(
        self, params: StructuredOutputsParams, *, begin: int = 0, ignore_eos: bool = False
    ) -> Matcher:
        """A matcher at the beginning of the grammar; see `Matcher` for `begin` and `ignore_eos`.

        Raises `ParamError` for what cannot be compiled, or matches no text of this vocabulary.
        """
        field, content = _content(params)
        initial = self._compiled(field, content, params.whitespace_pattern)
        avoided = self._eos_words if ignore_eos else None
        return Matcher(initial, self._num_words, begin=begin, avoided=avoided)

    @cached_property
    def _table(self) -> LLTokenizer:
        """The vocabulary as llguidance reads it: one entry a logit, those without a token never allowed."""
        try:
            from llguidance import LLTokenizer
        except ImportError:
            raise ParamError(
                "structured_outputs needs llguidance, which is not installed: pip install llguidance"
            ) from None
        known = self.tokenizer.backend.get_vocab_size(with_added_tokens=True)
        eos = [i for i in self.eos_ids if i < min(known, self.vocab_size)]
        if not eos:
            raise ParamError(
                "structured_outputs needs an EOS token, which ends the output; this model has none"
            )
        try:
            source = _source(self.tokenizer, self.vocab_size if self.vocab_size < known else None)
            return LLTokenizer(source, n_vocab=self.vocab_size, eos_token=eos)
        except ValueError as error:
            raise ParamError(
                f"structured_outputs cannot use this tokenizer: {reason_of(str(error))}"
            ) from None

    @property
    def _num_words(self) -> int:
        return -(-self.vocab_size // 32)

    @cached_property
    def _eos_words(self) -> tuple[np.ndarray, np.ndarray]:
        """Which words of a mask have EOS ids, and the bits of these."""
        bits = np.zeros(self._num_words, np.uint32)
        for i in self._table.eos_tokens:
            bits[i // 32] |= np.uint32(1 << i % 32)
        words = np.flatnonzero(bits)
        return words, bits[words].view(np.int32)

    def _compile(self, field: str, content: str, whitespace: str | None) -> LLMatcher:
        if whitespace is not None:
            # by itself first, so that the error names it and not the schema
            self._build("whitespace_pattern", whitespace, "json", "{}", whitespace)
        first = Matcher(self._build(field, content, field, content, whitespace), self._num_words)
        try:
            # copies of one that has made its first mask begin with what it has learnt
            fill([first], [None])
        except ParamError:
            raise _refusal(field, content, "no text of this vocabulary matches") from None
        return first.native

    def _build(
        self, blamed: str, given: str, field: str, content: str, whitespace: str | None
    ) -> LLMatcher:
        """A grammar's first matcher; an error names the field `blamed` and what was `given` there."""
        table = self._table  # says what to do where llguidance is missing
        from llguidance import LLMatcher, LLParserLimits

        limits = LLParserLimits(verbose_errors=False)
        try:
            grammar = _grammar(field, content, whitespace)
            matcher = LLMatcher(table, grammar, log_level=0, limits=limits)
        except ValueError as error:  # text that is no UTF-8, such as half a surrogate pair
            raise _refusal(blamed, given, reason_of(str(error))) from None
        if error := matcher.get_error():
            raise _refusal(blamed, given, reason_of(error, blamed == "grammar"))
        return matcher


def _source(tokenizer: Tokenizer, size: int | None) -> str:
    """The tokenizer as JSON; with `size`, without the tokens that the model has no logit for."""
    if size is None:
        return tokenizer.backend.to_str()
    source = json.loads(tokenizer.backend.to_str())
    source["added_tokens"] = [token for token in source["added_tokens"] if token["id"] < size]
    model = source["model"]
    if isinstance(model["vocab"], dict):
        known = model["vocab"] = {text: i for text, i in model["vocab"].items() if i < size}
        pairs = (m.split(" ") if isinstance(m, str) else m for m in model.get("merges", []))
        model["merges"] = [(a, b) for a, b in pairs if a in known and b in known and a + b in known]
    return json.dumps(source)


def _content(params: StructuredOutputsParams) -> tuple[str, str]:
    """(which field is given, its content as text)."""
    if params.json_object:
        return "json_object", json.dumps({"type": "object"})
    if params.choice is not None:
        return "choice", json.dumps(list(params.choice))
    if params.json is None:
        field = "grammar" if params.regex is None else "regex"
        return field, getattr(params, field)
    if isinstance(params.json, str):
        return "json", params.json
    if isinstance(params.json, dict):
        return "json", json.dumps(params.json)
    try:
        return "json", json.dumps(params.json.model_json_schema())
    except Exception as error:
        raise _refusal("json", params.json.__name__, reason_of(str(error))) from None


def _grammar(field: str, content: str, whitespace: str | None) -> str:
    """The same in llguidance's own format."""
    from llguidance import LLMatcher

    if field == "regex":
        return LLMatcher.grammar_from_regex(content)
    if field == "choice":
        texts = " | ".join(json.dumps(text, ensure_ascii=False) for text in json.loads(content))
        return LLMatcher.grammar_from_lark(f"start: {texts}")
    if field == "grammar":
        return LLMatcher.grammar_from_lark(_lark(content) if _is_ebnf(content) else content)
    if whitespace is not None:
        return LLMatcher.grammar_from_json_schema(
            content, overrides={"whitespace_pattern": whitespace}
        )
    # defaults, so that a schema's own "x-guidance" may choose others
    return LLMatcher.grammar_from_json_schema(
        content,
        defaults={
            "whitespace_flexible": False,
            "item_separator": SEPARATORS[0],
            "key_separator": SEPARATORS[1],
        },
    )


def _is_ebnf(text: str) -> bool:
    return re.search(r"^\s*[\w-]+\s*::=", text, re.MULTILINE) is not None


def _lark(ebnf: str) -> str:
    """A grammar in EBNF (`root ::= …`) as Lark."""
    from llguidance.gbnf_to_lark import gbnf_to_lark

    try:
        return gbnf_to_lark(ebnf)
    except IndexError:
        raise ValueError("it ends inside a rule") from None
    except Exception as error:  # what it raises has no class of its own
        raise ValueError(str(error)) from None


def _refusal(field: str, content: str, reason: str) -> ParamError:
    given = content if len(content) <= 80 else content[:79] + "…"
    return ParamError(f"structured_outputs.{field}: {reason}; got {given!r}")
