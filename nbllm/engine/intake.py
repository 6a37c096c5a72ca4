"""From what a caller gives to requests. Everything is checked here, before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, takewhile
from random import Random
from typing import Any

from nbllm.errors import ParamError, PromptError
from nbllm.models.config import ModelConfig
from nbllm.prompts import Prompt
from nbllm.sampling_params import BeamSearchParams, SamplingParams

from .beam_job import BeamCompletions
from .grammar import Grammars
from .job import Job
from .request import Request
from .search import Search, check_room, check_search
from .text import Tokenizer, TokenText

UNDRAWN = SamplingParams()
"""The parameters of a request that is searched: nothing of it is sampled."""


class Intake:
    """Makes the requests of one model: knows its tokenizer, its vocabulary and its limits."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        config: ModelConfig,
        *,
        eos_ids: Iterable[int],
        model_eos_ids: Iterable[int],
        max_logprobs: int,
        max_model_len: int,
        num_pages: int,
        page_bytes: int,
        seed: int,
    ):
        self.tokenizer, self.vocab_size = tokenizer, config.vocab_size
        self.eos_ids, self.max_logprobs = frozenset(eos_ids), max_logprobs
        # Hugging Face's beam search knows only those of the model's own configuration
        self.model_eos_ids = frozenset(model_eos_ids)
        self.max_model_len, self.num_pages, self.page_bytes = max_model_len, num_pages, page_bytes
        self.grammars = Grammars(tokenizer, config.vocab_size, self.eos_ids)
        self._random, self._calls, self._over = Random(seed), count(), set[int]()

    def jobs(
        self,
        prompts: Sequence[Prompt],
        params: Sequence[SamplingParams | BeamSearchParams],
        priorities: Sequence[int],
    ) -> list[Job | BeamCompletions]:
        """The jobs of one call. Raises `PromptError` or `ParamError` for the first mistake."""
        return list(self.one_by_one(prompts, params, priorities))

    def one_by_one(
        self,
        prompts: Sequence[Prompt],
        params: Sequence[SamplingParams | BeamSearchParams],
        priorities: Sequence[int],
    ) -> Iterator[Job | BeamCompletions]:
        """As `jobs`, each made when it is asked for; a wrong prompt is found when its turn comes."""
        times, distinct = Counter(map(id, params)), {id(p): p for p in params}
        for each in distinct.values():
            self.check_params(each)
        # the caller may change theirs; what many prompts have is copied once
        shared = {key: p.clone() for key, p in distinct.items() if times[key] > 1}
        call, many = self.new_call(), len(prompts) > 1
        jobs = (
            self._one(
                f"{call}-{i}",
                prompt,
                shared.get(id(p)) or p.clone(),
                priority,
                f"prompt {i}: " if many else "",
            )
            for i, (prompt, p, priority) in enumerate(zip(prompts, params, priorities, strict=True))
        )
        return takewhile(lambda _: call not in self._over, jobs)

    def end_call(self, call: str) -> None:
        """Make no more jobs of this call, if it is one."""
        if call.isdecimal():
            self._over.add(int(call))

    def _one(
        self,
        id: str,
        prompt: Prompt,
        params: SamplingParams | BeamSearchParams,
        priority: int,
        where: str,
    ) -> Job | BeamCompletions:
        try:
            if isinstance(params, BeamSearchParams):
                return self._search(id, prompt, params, priority)
            return self._job(id, prompt, params, priority)
        except PromptError as error:
            raise PromptError(f"{where}{error}") from None

    def request(
        self, id: str, ids: list[int], params: SamplingParams, *, num_begun: int = 0, **more: Any
    ) -> Request:
        """One request for the prompt `ids`, whose last `num_begun` begin what a grammar describes.

        `more` are fields of `Request`.
        """
        room = self.max_model_len - len(ids)
        limit = len(ids) + min(room, params.max_tokens or room)
        wanted, ignore_eos = params.structured_outputs, params.ignore_eos
        begin = max(0, len(ids) - num_begun)
        matcher = (
            self.grammars.matcher(wanted, begin=begin, ignore_eos=ignore_eos) if wanted else None
        )
        return Request(
            id=id,
            tokens=list(ids),
            num_prompt=len(ids),
            params=params,
            limit=limit,
            # after the EOS of a grammar nothing can follow, so there it ends all the same
            eos_ids=frozenset() if ignore_eos and not wanted else self.eos_ids,
            matcher=matcher,
            text=self._text(params) if params.detokenize else None,
            **more,
        )

    def new_call(self) -> int:
        """A number that no other call has: ids of requests begin with it."""
        return next(self._calls)

    def draw_seed(self) -> int:
        """A seed for a request that was given none; an LLM's own seed makes them repeatable."""
        return self._random.getrandbits(63)

    def check_prompt(self, ids: list[int], room: int = 1) -> None:
        """Raise `PromptError` for an empty prompt, a foreign id, or one that leaves no `room`."""
        if not ids:
            raise PromptError("a prompt is empty; give it some text or token ids")
        if len(ids) + room > self.max_model_len:
            why = " leaves no room for an answer in" if room else " does not fit"
            raise PromptError(
                f"a prompt of {len(ids)} tokens{why} max_model_len={self.max_model_len}; shorten it"
            )
        if wrong := [i for i in (min(ids), max(ids)) if not 0 <= i < self.vocab_size]:
            raise PromptError(
                f"token id {wrong[0]} is outside the vocabulary of {self.vocab_size} ids"
            )

    def check_params(self, params: SamplingParams | BeamSearchParams) -> None:
        """Raise `ParamError` for what this model cannot do."""
        if isinstance(params, BeamSearchParams):
            check_search(params, self.vocab_size)
            return
        for name in ("logprobs", "prompt_logprobs"):
            self._check_count(name, getattr(params, name))
        for name, ids in (
            ("stop_token_ids", params.stop_ids),
            ("allowed_token_ids", params.allowed_token_ids or ()),
            ("logit_bias", params.logit_bias or ()),
        ):
            if foreign := [i for i in ids if i >= self.vocab_size]:
                raise ParamError(
                    f"{name}: {foreign[0]} is outside the vocabulary of {self.vocab_size} ids"
                )

    def _check_count(self, name: str, wanted: int | None) -> None:
        most = self.max_logprobs
        if wanted is not None and most != -1 and not 0 <= wanted <= most:
            raise ParamError(
                f"{name} must be at most max_logprobs={most}, got {wanted}; LLM(max_logprobs=-1) "
                "lifts the limit"
            )

    def _job(self, id: str, prompt: Prompt, params: SamplingParams, priority: int) -> Job:
        ids = prompt.ids(self.tokenizer.encode)
        if params.truncate_prompt_tokens is not None:
            ids = ids[-params.truncate_prompt_tokens :]
        self.check_prompt(ids)
        seed = self.draw_seed() if params.seed is None else params.seed
        words = self._bad_words(params)
        requests = [
            self.request(
                f"{id}-{i}",
                ids,
                params,
                num_begun=prompt.num_begun,
                seed=(seed + i + 2**63) % 2**64 - 2**63,  # the 64 bits that the noise takes
                bad_words=words,
                # the children's prompts are worth the same
                scored_from=None if params.prompt_logprobs is None or i else 1,
                priority=priority,
            )
            for i in range(params.n)
        ]
        return Job(
            id=id,
            prompt=prompt.text,
            requests=requests,
            tokenizer=self.tokenizer,
            read=prompt.read,
        )

    def _search(
        self, id: str, prompt: Prompt, params: BeamSearchParams, priority: int
    ) -> BeamCompletions:
        ids, wanted = prompt.ids(self.tokenizer.encode), params.structured_outputs
        self.check_prompt(ids)
        if prompt.num_begun and wanted:
            raise ParamError(
                "a beam search with structured_outputs begins them: num_begun must be 0"
            )
        eos = self.eos_ids if params.early_stopping is None or wanted else self.model_eos_ids
        ignore_eos = params.ignore_eos
        search = Search(
            params=params,
            eos_ids=frozenset() if ignore_eos and not wanted else eos,
            limit=min(params.max_tokens, self.max_model_len - len(ids)),
            tokenizer=self.tokenizer,
            constraint=self.grammars.matcher(wanted, ignore_eos=ignore_eos) if wanted else None,
        )
        check_room(len(ids), search, self.num_pages, self.page_bytes)
        request = Request(
            id=id,
            tokens=list(ids),
            num_prompt=len(ids),
            params=UNDRAWN,
            limit=len(ids) + search.limit,
            eos_ids=frozenset(),
            seed=0,
            text=None,
            search=search,
            priority=priority,
        )
        return BeamCompletions(id=id, prompt=prompt.text, request=request)

    def _text(self, params: SamplingParams) -> TokenText:
        return TokenText(
            self.tokenizer,
            skip_special_tokens=params.skip_special_tokens,
            spaces_between_special_tokens=params.spaces_between_special_tokens,
        )

    def _bad_words(self, params: SamplingParams) -> list[list[int]]:
        """bad_words as token ids, each at the start of a text and behind a space."""
        found: list[list[int]] = []
        for word in params.bad_words or ():
            for text in (word, " " + word.lstrip(" ")):
                ids = self.tokenizer.encode(text, add_special_tokens=False)
                if ids and ids not in found:
                    found.append(ids)
        if foreign := [i for ids in found for i in ids if i >= self.vocab_size]:
            raise ParamError(f"bad_words: token {foreign[0]} is outside the model's vocabulary")
        return found
