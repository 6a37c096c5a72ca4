"""`POST /v1/completions`: texts continued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...engine.beam_job import BeamJob
from ...engine.job import Job
from ...engine.text import Tokenizer
from ...prompts import Prompt, as_prompts
from .answers import Choices
from .generation import Generation
from .logprobs import Spelling, prompt_logprobs
from .models import Served
from .params import Params, sampling_params, search_params, structured_outputs, truncated
from .schemas import CompletionRequest
from .sequences import Piece, Reader, readers

MAX_TOKENS = 16
"""OpenAI's default."""


class Completions(Generation):
    """See `CompletionRequest`."""

    schema = CompletionRequest
    kind = chunk_kind = "text_completion"
    prefix = "cmpl"

    def num_prompts(self, asked: CompletionRequest) -> int:
        several = isinstance(asked.prompt, list) and not _are_ids(asked.prompt)
        return len(asked.prompt) if several else 1

    def prepare(
        self, asked: CompletionRequest, served: Served
    ) -> tuple[Sequence[Job | BeamJob], Choices]:
        tokenizer = served.llm.tokenizer
        prompts = [self._prompt(p, asked, served) for p in as_prompts(asked.prompt)]
        jobs = served.prepare(prompts, self._params(asked, served), asked.priority)
        found = readers(jobs, asked.n or 1, asked.logprobs is not None)
        return jobs, CompletionChoices(asked, tokenizer, found)

    def _prompt(self, prompt: Prompt, asked: CompletionRequest, served: Served) -> Prompt:
        if asked.add_special_tokens is False and prompt.token_ids is None:
            encode = served.llm.tokenizer.encode
            ids = encode(prompt.text or "", add_special_tokens=False)
            prompt = replace(prompt, token_ids=ids)
        return truncated(prompt, asked, served.llm, asked.max_tokens or MAX_TOKENS)

    def _params(self, asked: CompletionRequest, served: Served) -> Params:
        # none at all is the way to have a prompt scored: one is made, and not shown
        most = max(MAX_TOKENS if asked.max_tokens is None else asked.max_tokens, 1)
        structured = structured_outputs(asked)
        if asked.use_beam_search:
            return search_params(asked, max_tokens=most, structured=structured)
        params = sampling_params(
            asked,
            served.llm.get_default_sampling_params(),
            max_tokens=most,
            logprobs=asked.logprobs,
            structured=structured,
        )
        if asked.echo and asked.logprobs is not None and asked.prompt_logprobs is None:
            params.prompt_logprobs = asked.logprobs
        return params


class CompletionChoices(Choices):
    """Texts, behind their prompts if these are to be echoed."""

    def __init__(self, asked: CompletionRequest, tokenizer: Tokenizer, readers: Sequence[Reader]):
        super().__init__(readers)
        self._asked, self._tokenizer = asked, tokenizer
        self._spelling = Spelling(
            tokenizer,
            as_ids=bool(asked.return_tokens_as_token_ids),
            special=asked.skip_special_tokens is False,
        )
        self._offsets: dict[int, int] = {}

    def whole(self, piece: Piece, reader: Reader) -> dict[str, Any]:
        choice = self.chunk(piece, reader)
        if self._asked.prompt_logprobs is not None and reader.prompt_logprobs is not None:
            choice["prompt_logprobs"] = prompt_logprobs(reader.prompt_logprobs)
        return choice

    def chunk(self, piece: Piece, reader: Reader) -> dict[str, Any]:
        asked = self._asked
        if asked.max_tokens == 0:
            ended = piece.finish_reason and "length"
            nothing = {"text": "", "token_ids": [], "logprobs": piece.logprobs and []}
            piece = replace(piece, **nothing, finish_reason=ended, stop_reason=None)
        text = self._echoed(reader) + piece.text if asked.echo and piece.first else piece.text
        choice: dict[str, Any] = {
            "index": piece.index,
            "text": text,
            "logprobs": None if piece.logprobs is None else self._logprobs(piece, reader),
            "finish_reason": piece.finish_reason,
            "stop_reason": piece.stop_reason,
        }
        if asked.return_token_ids:
            choice["token_ids"] = piece.token_ids
            if piece.first:
                choice["prompt_token_ids"] = reader.prompt_token_ids
        return choice

    def usage(self) -> dict[str, Any]:
        usage = super().usage()
        if self._asked.max_tokens == 0:
            usage |= {"completion_tokens": 0, "total_tokens": usage["prompt_tokens"]}
        return usage

    def _echoed(self, reader: Reader) -> str:
        text = reader.job.prompt
        return self._tokenizer.decode(reader.prompt_token_ids) if text is None else text

    def _logprobs(self, piece: Piece, reader: Reader) -> dict[str, Any]:
        positions: list = piece.logprobs or []
        ids = piece.token_ids
        if self._asked.echo and piece.first and reader.prompt_logprobs is not None:
            positions = [*reader.prompt_logprobs, *positions]
            ids = [*reader.prompt_token_ids, *ids]
        elif self._asked.echo and piece.first:
            self._offsets[piece.index] = len(self._echoed(reader))
        begin = self._offsets.get(piece.index, 0)
        top = self._asked.logprobs or 0
        found, self._offsets[piece.index] = self._spelling.completion(positions, ids, top, begin)
        return found


def _are_ids(prompt: list) -> bool:
    return bool(prompt) and isinstance(prompt[0], int)
