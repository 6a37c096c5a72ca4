"""The offline API. `LLM` works in a plain script; the magics and widgets use nothing else."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from . import __version__
from . import chat as chats
from .engine import waiting
from .engine.beam_job import BeamCompletions, BeamJob
from .engine.build import Limits, pick_device, pick_dtype
from .engine.device_memory import device_memory
from .engine.intake import Intake
from .engine.job import Job
from .engine.listing import called, listed
from .engine.runner import page_bytes
from .engine.scoring import Scorer
from .engine.sleep import PARTS
from .engine.start import clear_frames, start
from .engine.text import Tokenizer
from .errors import ClosedError, ParamError, PromptError
from .models import load
from .models.adopt import Live, placed_as, refuse_for_object
from .models.generation_config import default_params, eos_ids
from .models.origin import Folder, Origin
from .options import refuse_unknown
from .outputs import (
    BeamSearchOutput,
    ChoiceOutput,
    Counter,
    Gauge,
    Metric,
    ModelInfo,
    RequestInfo,
    RequestOutput,
    ScoreOutput,
)
from .prompts import Prompt, as_prompts, choices_each, conversations_in, one_each, paired
from .sampling_params import BeamSearchParams, SamplingParams

if TYPE_CHECKING:
    import pandas as pd

AnyParams = SamplingParams | BeamSearchParams

MODEL_IMPLS = ("auto", "native", "transformers")
LOGPROBS_MODES = ("raw_logprobs", "processed_logprobs")
NO_STREAM = "a beam search cannot be streamed; use generate or beam_search"


class LLM:
    """A language model and the engine that runs it.

    model: "tiny" (the bundled model), a local folder, a hub id (`revision` picks a version), or a
        transformers model object, which is served from its own live weights and left as it is.
        Editing a weight in place changes the next generation; torch does not notice what is written
        through `.data` or in inference_mode: after that call `reset_prefix_cache()`.
    tokenizer: a name, a folder or a fast tokenizer; default: the model's (an object needs one).
    dtype: "auto" (float32 on a CPU, the checkpoint's on a GPU), "float32", "bfloat16", "float16".
    max_model_len: tokens a sequence may have, prompt included; default: the model's context, or what
        there is memory for when it is loaded.
    max_num_seqs, max_num_batched_tokens: sequences, and tokens, that one step computes at most.
    kv_cache_memory_bytes, gpu_memory_utilization: bounds of the KV cache. On a GPU it begins small and
        grows when sequences need it, by default as long as 1 − gpu_memory_utilization of the card
        stays free, whoever uses the rest; with kv_cache_memory_bytes up to that instead. On a CPU,
        and where the driver cannot map memory, it has a fixed size: kv_cache_memory_bytes, else 1 GiB,
        on a CPU an eighth of the memory of the machine or the container where that is less; while it
        decodes, a CPU may take half as much again for copies of the rows.
    enable_prefix_caching: keep the pages of finished requests for prompts that begin the same.
    seed: makes the seeds that requests without one draw, and dummy weights, repeatable.
    load_format: "auto" (safetensors) or "dummy" (random weights).
    quantization: how the files are stored (gptq, awq, fp8, compressed-tensors), which they say
        themselves; another value is an error. Quantised weights are made plain when they are loaded.
    generation_config: "auto" (the model's generation_config.json gives the default sampling
        parameters), a folder with one, or "vllm" / "nbllm" (SamplingParams' own defaults).
    override_generation_config: a dictionary laid over it.
    chat_template: a file, a template, or the name of one of the tokenizer's.
    max_logprobs: largest `logprobs` that a request may ask for; −1: no limit.
    hf_overrides: a dictionary laid over config.json.
    model_impl: "native" (nbllm's own code for the architecture), "transformers" (its code, with
        nbllm's cache and attention), or "auto": native where there is such code.
    device: "auto", "cpu", "cuda" or "cuda:1".
    deterministic: the same tokens whatever shares the batch, also in half precision, not of beam
        searches; on a GPU every pass is padded to one size, on a CPU nothing has to be done for it.
    logprobs_mode: "raw_logprobs" (of the model's logits), or "processed_logprobs" (after penalties,
        masks, temperature and filters).

    Raises `ModelError` for a model that cannot be found, read or run; `ParamError` for an option
    out of range or unknown. Interface: vLLM's `LLM`.

    >>> llm = LLM()
    >>> [output] = llm.generate("The capital of France is", SamplingParams(temperature=0, max_tokens=2))
    >>> output.outputs[0].text
    ' Paris.'
    """

    def __init__(
        self,
        model: str | Path = "tiny",
        *,
        tokenizer: Any = None,
        dtype: str | torch.dtype = "auto",
        max_model_len: int | None = None,
        max_num_seqs: int = 256,
        max_num_batched_tokens: int | None = None,
        gpu_memory_utilization: float = 0.9,
        kv_cache_memory_bytes: int | None = None,
        enable_prefix_caching: bool = True,
        seed: int = 0,
        load_format: str = "auto",
        quantization: str | None = None,
        generation_config: str | Path = "auto",
        override_generation_config: dict[str, Any] | None = None,
        chat_template: str | Path | None = None,
        max_logprobs: int = 20,
        revision: str | None = None,
        hf_overrides: dict[str, Any] | None = None,
        model_impl: str = "auto",
        device: str | torch.device = "auto",
        deterministic: bool = False,
        logprobs_mode: str = "raw_logprobs",
        task: str = "generate",
        **others: Any,
    ):
        refuse_unknown(others, inspect.signature(LLM).parameters)
        if logprobs_mode not in LOGPROBS_MODES:
            raise ParamError(
                f"logprobs_mode must be one of {', '.join(LOGPROBS_MODES)}, got {logprobs_mode!r}"
            )
        if model_impl not in MODEL_IMPLS:
            raise ParamError(
                f"model_impl must be one of {', '.join(MODEL_IMPLS)}, got {model_impl!r}"
            )
        if task not in ("generate", "auto"):
            raise ParamError(f"nbllm has only task='generate', got {task!r}")
        limits = Limits(
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            kv_cache_memory_bytes=kv_cache_memory_bytes,
            gpu_memory_utilization=gpu_memory_utilization,
            enable_prefix_caching=enable_prefix_caching,
        )
        self._closed = self._freed = False
        handled = sys.exception()
        try:
            if isinstance(model, str | Path):
                origin: Origin = Folder(
                    model,
                    revision=revision,
                    overrides=hf_overrides,
                    load_format=load_format,
                    quantization=quantization,
                    model_impl=model_impl,
                    seed=seed,
                )
                self._device = pick_device(device)
                self._dtype = pick_dtype(dtype, origin.config.dtype, self._device)
            else:
                refuse_for_object(tokenizer, revision, hf_overrides, load_format, quantization)
                origin = Live(model)
                self._device, self._dtype = placed_as(origin, device, dtype)
            self._origin, self._revision, self.name = origin, revision, origin.name
            self.config, self._folder = origin.config, origin.folder
            self._given_tokenizer = None if isinstance(tokenizer, str | Path) else tokenizer
            self.tokenizer = _tokenizer(tokenizer, self._folder)
            self._chat_template = chats.load_if_path(chat_template, self.tokenizer)
            self._defaults = default_params(
                origin.generation, generation_config, override_generation_config
            )
            self.engine, self.max_model_len = start(
                origin,
                self._dtype,
                self._device,
                limits,
                processed_logprobs=logprobs_mode == "processed_logprobs",
                deterministic=deterministic,
            )
            self.max_num_seqs = max_num_seqs
            self._num_parameters = _num_parameters(self.engine.runner.model)
            self.intake = Intake(
                self.tokenizer,
                self.config,
                eos_ids=eos_ids(origin.generation, self.config, self.tokenizer.eos_token_id),
                model_eos_ids=eos_ids(origin.generation, self.config, None),
                num_pages=self.engine.scheduler.pages.num_pages - 1,
                page_bytes=page_bytes(self.config, self._dtype),
                max_logprobs=max_logprobs,
                max_model_len=self.max_model_len,
                seed=seed,
            )
            self._scorer = Scorer(self.engine, self.intake)
        except BaseException as error:
            clear_frames(error, handled)  # they would hold tensors and files
            if hasattr(self, "engine"):
                self.close()
            raise

    def generate(
        self,
        prompts: Any,
        sampling_params: AnyParams | Sequence[AnyParams] | None = None,
        *,
        use_tqdm: waiting.Progress = True,
        priority: int | Sequence[int] | None = None,
    ) -> list[RequestOutput]:
        """Generate for one prompt or many, batched; outputs come in the order of the prompts.

        prompts: a string, {"prompt": …}, token ids, {"prompt_token_ids": …}, or any iterable of
        these. sampling_params: one for all, or one each; default: `get_default_sampling_params()`.
        With `BeamSearchParams` a prompt's completions are the sequences found, best first.
        use_tqdm: a bar for what takes longer than 2 s; or what makes one, as `tqdm` does.
        priority: lower goes first, then earlier arrival; one for all, or one each.

        Raises `PromptError` for an empty prompt, one that does not fit, or ids outside the
        vocabulary, before anything runs. On Ctrl-C raises `GenerationInterrupted` with what there is.

        >>> prompts = ["17 + 25 =", "The opposite of hot is"]
        >>> outputs = llm.generate(prompts, SamplingParams(temperature=0, max_tokens=8, stop="."))
        >>> [output.outputs[0].text for output in outputs]
        [' 42', ' cold']
        """
        jobs = self._jobs(as_prompts(prompts), sampling_params, priority)
        return waiting.finish(self.engine, jobs, use_tqdm)

    def chat(
        self,
        messages: Sequence[Any],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        use_tqdm: waiting.Progress = True,
        chat_template: str | Path | None = None,
        chat_template_content_format: str = "auto",
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tools: list[dict[str, Any]] | None = None,
        chat_template_kwargs: dict[str, Any] | None = None,
    ) -> list[RequestOutput]:
        """Answer one conversation, or a list of them. Messages are OpenAI's: role and content.

        The template is the argument's, else the LLM's, else the tokenizer's; `TemplateError` says
        what to do when there is none, and carries the template's own message when it refuses.
        tools: OpenAI's tool dictionaries, which the template shows to the model. Each completion's
        `message` is the answer as a message, with reasoning and tool calls taken apart.

        >>> question = {"role": "user", "content": "What is 12 + 30?"}
        >>> [output] = llm.chat([question], SamplingParams(temperature=0, max_tokens=20))
        >>> output.outputs[0].message["content"]
        '12 + 30 = 42'
        """
        prompts = self._conversations(
            messages,
            chat_template,
            tools,
            content_format=chat_template_content_format,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            template_kwargs=chat_template_kwargs,
        )
        return waiting.finish(self.engine, self._jobs(prompts, sampling_params), use_tqdm)

    def beam_search(
        self,
        prompts: Any,
        params: BeamSearchParams | Sequence[BeamSearchParams],
        use_tqdm: waiting.Progress = False,
        concurrency_limit: int | None = None,
    ) -> list[BeamSearchOutput]:
        """Search for the likeliest continuations of one prompt or many; outputs in their order.

        prompts: as for `generate`. params: one for all, or one each. concurrency_limit: prompts that
        are searched at a time; default: as many as memory holds.

        Raises what `generate` raises; `OutOfMemoryError` for a search that does not fit even alone.
        On Ctrl-C raises `GenerationInterrupted` with the best sequences so far.

        >>> params = BeamSearchParams(beam_width=4, max_tokens=8)
        >>> [output] = llm.beam_search("The capital of France is", params)
        >>> [sequence.generated_text for sequence in output.sequences[:2]]
        [' Paris. The language of France is French', ' Paris. The continent of France is Europe']
        """
        jobs = self._searches(as_prompts(prompts), params)
        if concurrency_limit is not None:
            _at_least_one("concurrency_limit", concurrency_limit)
        return waiting.finish(self.engine, jobs, use_tqdm, concurrency_limit)

    def compare(
        self, prompts: Any, settings: Mapping[str, AnyParams], *, use_tqdm: waiting.Progress = True
    ) -> pd.DataFrame:
        """Decoding settings side by side: one row per prompt, setting and output, in that order.

        prompts: as for `generate`. settings: name → `SamplingParams` or `BeamSearchParams`.
        Columns: prompt, setting, output, text, finish_reason, num_tokens, cumulative_logprob (under
        the model itself, whatever the setting's temperature, so that settings compare),
        mean_logprob (that per token), distinct_1 and distinct_2 (share of distinct tokens and pairs
        of tokens within a text), then every parameter in which the settings differ (missing where a
        setting has no such parameter). Everything runs in one batch.

        Raises what `generate` raises; on Ctrl-C `GenerationInterrupted` has the outputs.

        >>> settings = {
        ...     "greedy": SamplingParams(temperature=0, max_tokens=8),
        ...     "beam": BeamSearchParams(beam_width=4, max_tokens=8, num_return_sequences=1),
        ... }
        >>> frame = llm.compare("The capital of France is", settings)
        >>> frame[["setting", "text", "num_tokens"]]
          setting                                      text  num_tokens
        0  greedy   Paris. The language of France is French           8
        1    beam   Paris. The language of France is French           8
        """
        from .compare import compare

        generate = partial(self.generate, use_tqdm=use_tqdm)
        return compare(generate, partial(self.score, use_tqdm=use_tqdm), prompts, settings)

    def stream(
        self,
        prompts_or_messages: Any,
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        concurrency_limit: int | None = None,
        interval: float = 0.0,
        chat_template: str | Path | None = None,
        continue_final_message: bool = False,
    ) -> Generator[RequestOutput, None, None]:
        """Yield an output whenever a prompt or conversation has advanced; each one's last is finished.

        `output_kind` decides what an output holds: all text so far, or only what is new. Closing
        the generator aborts what is left. Errors are raised here, not at the first `next`.
        concurrency_limit: for long lists: so many prompts at a time, each tokenised and checked when
        its turn comes; finished outputs are yielded and, unless FINAL_ONLY, now and then one that
        has not finished; on Ctrl-C `GenerationInterrupted` has those that were under way.
        interval: about so many seconds between reports of what has not finished, for whoever draws
        them: each costs time. 0: after every step. chat_template, continue_final_message: for
        messages, as in `chat`.

        >>> for output in llm.stream("The opposite of hot is", SamplingParams(temperature=0, max_tokens=4)):
        ...     print(output.outputs[0].text, output.finished)
         cold False
         cold. False
         cold. True
        """
        prompts = self._any(
            prompts_or_messages,
            template=chat_template,
            add_generation_prompt=not continue_final_message,
            continue_final_message=continue_final_message,
        )
        if not 0 <= interval < float("inf"):
            raise ParamError(f"interval must be a number of seconds, 0 or more, got {interval!r}")
        if concurrency_limit is None:
            return waiting.stream(self.engine, self._streams(prompts, sampling_params), interval)
        limit = _at_least_one("concurrency_limit", concurrency_limit)
        return waiting.feed(self.engine, self._feeds(prompts, sampling_params), limit, interval)

    def preprocess_chat(
        self,
        messages: Sequence[Any],
        chat_template: str | Path | None = None,
        chat_template_content_format: str = "auto",
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tools: list[dict[str, Any]] | None = None,
        chat_template_kwargs: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """What `chat` would send: {"prompt", "prompt_token_ids"} of each conversation.

        The arguments are those of `chat`, and so are the errors; the length is not checked.

        >>> [prompt] = llm.preprocess_chat([{"role": "user", "content": "Hello!"}])
        >>> prompt["prompt"]
        '<|begin|><|user|>Hello!<|end|><|assistant|>'
        """
        prompts = self._conversations(
            messages,
            chat_template,
            tools,
            content_format=chat_template_content_format,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            template_kwargs=chat_template_kwargs,
        )
        return [{"prompt": p.text, "prompt_token_ids": p.token_ids} for p in prompts]

    def find_chat_template(self, *, tools: bool = False) -> str:
        """The template that `chat` uses when it is given none. Raises `TemplateError`.

        >>> llm.find_chat_template()[:16]
        '{{- bos_token }}'
        """
        return chats.find_template(self.tokenizer, None, self._chat_template, tools=tools)

    def prepare(
        self,
        prompts: Any,
        sampling_params: AnyParams | Sequence[AnyParams],
        *,
        priority: int | Sequence[int] | None = None,
    ) -> list[Job | BeamCompletions]:
        """What `generate` would run, checked and not begun, for an `engine.pump.Pump` to run.

        Raises what `generate` raises before it begins.

        >>> [job] = llm.prepare("The capital of France is", SamplingParams(max_tokens=3))
        >>> job.prompt
        'The capital of France is'
        """
        return self._jobs(as_prompts(prompts), sampling_params, priority)

    async def agenerate(
        self,
        prompts: Any,
        sampling_params: AnyParams | Sequence[AnyParams] | None = None,
        *,
        priority: int | Sequence[int] | None = None,
    ) -> list[RequestOutput]:
        """As `generate`, for `await`: other tasks of the event loop run between the steps.

        >>> import asyncio
        >>> params = SamplingParams(temperature=0, max_tokens=3)
        >>> [output] = asyncio.run(llm.agenerate("17 + 25 =", params))  # in a cell: await llm.agenerate(…)
        >>> output.outputs[0].text
        ' 42'
        """
        jobs = self._jobs(as_prompts(prompts), sampling_params, priority)
        return await waiting.afinish(self.engine, jobs)

    async def achat(
        self,
        messages: Sequence[Any],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        chat_template: str | Path | None = None,
        chat_template_content_format: str = "auto",
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tools: list[dict[str, Any]] | None = None,
        chat_template_kwargs: dict[str, Any] | None = None,
    ) -> list[RequestOutput]:
        """As `chat`, for `await`.

        >>> import asyncio
        >>> question = {"role": "user", "content": "What is 12 + 30?"}
        >>> [output] = asyncio.run(llm.achat([question], SamplingParams(temperature=0, max_tokens=20)))
        >>> output.outputs[0].content
        '12 + 30 = 42'
        """
        prompts = self._conversations(
            messages,
            chat_template,
            tools,
            content_format=chat_template_content_format,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            template_kwargs=chat_template_kwargs,
        )
        return await waiting.afinish(self.engine, self._jobs(prompts, sampling_params))

    def astream(
        self,
        prompts_or_messages: Any,
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        concurrency_limit: int | None = None,
        chat_template: str | Path | None = None,
        continue_final_message: bool = False,
    ) -> AsyncGenerator[RequestOutput, None]:
        """As `stream`, for `async for`; with a concurrency_limit all that are in flight are reported.

        >>> import asyncio
        >>> async def texts(prompt, params):
        ...     return [o.outputs[0].text async for o in llm.astream(prompt, params)]
        >>> asyncio.run(texts("The opposite of hot is", SamplingParams(temperature=0, max_tokens=4)))
        [' cold', ' cold.', ' cold.']
        """
        prompts = self._any(
            prompts_or_messages,
            template=chat_template,
            add_generation_prompt=not continue_final_message,
            continue_final_message=continue_final_message,
        )
        if concurrency_limit is None:
            return waiting.astream(self.engine, self._streams(prompts, sampling_params))
        limit = _at_least_one("concurrency_limit", concurrency_limit)
        return waiting.afeed(self.engine, self._feeds(prompts, sampling_params), limit)

    def astream_beams(
        self, prompts: Any, params: BeamSearchParams | Sequence[BeamSearchParams]
    ) -> AsyncGenerator[BeamSearchOutput, None]:
        """As `beam_search`, for `async for`: what a search has found so far, whenever it has advanced.

        That is after each step; a GPU does a few at a time. The last output of a prompt is finished.
        Closing the generator aborts what is left.

        >>> import asyncio
        >>> async def bests(prompt, params):
        ...     return [o.sequences[0].generated_text async for o in llm.astream_beams(prompt, params)]
        >>> params = nbllm.BeamSearchParams(beam_width=2, max_tokens=3)
        >>> asyncio.run(bests("The opposite of hot is", params))[-1]
        ' cold.'
        """
        return waiting.astream(self.engine, self._searches(as_prompts(prompts), params))

    def score(
        self, prompts: Any, continuations: Any = None, *, use_tqdm: waiting.Progress = True
    ) -> list[ScoreOutput]:
        """The log-probability of each continuation behind its prompt; nothing is generated.

        prompts, continuations: as `generate` takes prompts; as many of both, or one of either for
        all of the other. Without continuations every prompt is scored itself, from its second token
        on: `[s.perplexity for s in llm.score(frame["text"])]`.
        Raises `PromptError` for an empty continuation or a pair that does not fit.

        >>> scores = llm.score("The capital of France is", [" Paris", " Rome"])
        >>> [round(score.cumulative_logprob, 1) for score in scores]
        [-0.0, -14.5]
        """
        self._check_open()
        first = as_prompts(prompts)
        second = [None] if continuations is None else as_prompts(continuations)
        first, second = paired(first, second)
        return self._scorer.score(first, second, use_tqdm)

    def choose(
        self,
        prompts: Any,
        choices: Sequence[str] | Sequence[Sequence[str]],
        *,
        normalize: bool = False,
        use_tqdm: waiting.Progress = True,
    ) -> list[ChoiceOutput]:
        """How likely each of several choices is behind each prompt; nothing is generated.

        choices: a list of strings for all prompts, or one list for each. Most prompts end without a
        space and most choices begin with one. The probabilities are a softmax over the choices of
        log p(choice | prompt), with `normalize` of its mean per token, so that length counts less.

        >>> reviews = ["Review: I loved it!\\nSentiment:", "Review: It was awful.\\nSentiment:"]
        >>> [choice.best for choice in llm.choose(reviews, [" positive", " negative"])]
        [' positive', ' negative']
        """
        self._check_open()
        many = as_prompts(prompts)
        return self._scorer.choose(many, choices_each(choices, len(many)), normalize, use_tqdm)

    def get_tokenizer(self):
        """The model's tokenizer as a `transformers` object (imports transformers).

        >>> llm.get_tokenizer().tokenize("a fox")
        ['a', 'Ġfox']
        """
        if self._given_tokenizer is not None:
            return self._given_tokenizer
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.tokenizer.folder or self._folder)

    def get_default_sampling_params(self) -> SamplingParams:
        """A fresh copy of what is used when no sampling_params are given.

        >>> llm.get_default_sampling_params().temperature  # of the bundled model
        0.7
        """
        return self._defaults.clone()

    def reset_prefix_cache(self) -> None:
        """Forget every cached prefix; running requests are not affected.

        >>> llm.reset_prefix_cache()
        """
        self._check_open()
        self.engine.reset_prefix_cache()

    def sleep(self, level: int = 1) -> None:
        """Give the GPU's memory back; `wake_up`, or the next call that generates, takes it again.

        level 1: weights are copied to memory of the host; 2: they are dropped, and read again from
        the model's files, so what was changed in them since is lost. The KV cache and cached prefixes
        go in both; on a CPU only these, and the weights stay. What runs, such as a stream that has
        been left for a moment, is computed again afterwards and goes on.

        >>> llm.sleep()
        >>> llm.is_sleeping()
        True
        """
        self._check_open()
        if isinstance(level, bool) or level not in (1, 2):
            raise ParamError(f"level must be 1 (keep weights on the host) or 2, got {level!r}")
        self.engine.sleep(keep=level == 1)

    def wake_up(self, tags: Sequence[str] | None = None) -> None:
        """Undo `sleep`; tags: "weights", "kv_cache", or both, which is the default.

        Raises `OutOfMemoryError` if others have taken the memory meanwhile; then it sleeps on, and
        can be woken when there is room. Waking up what is awake is no error.

        >>> llm.wake_up()
        >>> llm.is_sleeping()
        False
        """
        self._check_open()
        wanted = PARTS if tags is None else {tags} if isinstance(tags, str) else set(tags)
        if unknown := sorted(wanted - PARTS):
            raise ParamError(f"tags are 'weights' and 'kv_cache', got {unknown[0]!r}")
        self.engine.wake_up(wanted)

    def is_sleeping(self) -> bool:
        """Whether `sleep` has been called and not everything is back.

        >>> llm.is_sleeping()
        False
        """
        self._refuse_closed()
        return self.engine.asleep

    def get_metrics(self) -> list[Metric]:
        """The engine's counters, gauges and histograms, as of now.

        Pages of the KV cache (used, free, whether or not there is memory behind these by now), its
        bytes now and at most, tokens of prompts looked up in the prefix cache and found there,
        requests running and waiting, tokens generated, tokens/s of the latest steps, a GPU's memory,
        and the times of the requests that ended: to the first token, and in all.

        >>> {m.name: m.value for m in llm.get_metrics() if "num_requests" in m.name}
        {'nbllm:num_requests_running': 0, 'nbllm:num_requests_waiting': 0}
        """
        self._refuse_closed()
        stats, scheduler = self.engine.stats, self.engine.scheduler
        pages = scheduler.pages
        used = pages.num_pages - 1 - pages.num_free
        counters = {
            "prefix_cache_queries": pages.num_asked,
            "prefix_cache_hits": pages.num_hit,
            "generation_tokens": stats.num_generated,
            "steps": stats.num_steps,
            "requests_ended": stats.num_ended,
        }
        gauges = {
            "num_requests_running": len(scheduler.running),
            "num_requests_waiting": len(scheduler.waiting),
            "kv_cache_pages_used": used,
            "kv_cache_pages_free": pages.num_free,
            "kv_cache_bytes_mapped": pages.memory.num_bytes,
            "kv_cache_bytes_bound": pages.memory.bound,
            "tokens_per_second": stats.tokens_per_second,
            **self._device_memory(),
        }
        return [
            *(Counter(name=f"nbllm:{name}", value=value) for name, value in counters.items()),
            *(Gauge(name=f"nbllm:{name}", value=value) for name, value in gauges.items()),
            stats.first_token.histogram("nbllm:time_to_first_token_seconds"),
            stats.whole.histogram("nbllm:e2e_request_latency_seconds"),
        ]

    def requests(self) -> list[RequestInfo]:
        """The prompts in the engine at this moment, whoever waits for them, oldest first.

        >>> llm.requests()
        []
        """
        self._refuse_closed()
        return listed(self.engine, self.tokenizer)

    def abort(self, request_id: str) -> int:
        """End what runs under an id of `requests`, or every prompt of a call ("3" for "3-0", "3-1" …).

        Whoever waits for it gets what there is, with finish_reason "abort"; `score` and `choose` raise
        `GenerationInterrupted`. Returns how many completions or searches were ended; an unknown id is
        no error: what has just finished is unknown.

        >>> llm.abort("3")
        0
        """
        self._refuse_closed()
        self.intake.end_call(request_id)
        ended = called(self.engine, request_id)
        for request in ended:
            self.engine.abort(request)
        # nobody may be stepping: a stream can be left for a moment
        self.engine.settle()
        return len(ended)

    def info(self) -> ModelInfo:
        """What is loaded and how, with the engine's present state.

        >>> info = llm.info()
        >>> info.name, info.architecture, info.max_model_len
        ('tiny', 'LlamaForCausalLM', 2048)
        """
        self._refuse_closed()
        scheduler = self.engine.scheduler
        templates = chats.templates_of(self.tokenizer)
        template = self._chat_template or templates.get("default")
        return ModelInfo(
            name=self.name,
            path=self._origin.path,
            architecture=self.config.architecture,
            implementation=self.config.implementation,
            quantization=self._origin.quantization,
            dtype=str(self._dtype).removeprefix("torch."),
            device=str(self._device),
            num_parameters=self._num_parameters,
            max_model_len=self.max_model_len,
            weight_bytes=self._num_parameters * self._dtype.itemsize,
            kv_bytes=scheduler.pages.num_pages * page_bytes(self.config, self._dtype),
            memory={**self._weight_bytes(), "kv_cache": scheduler.pages.memory.num_bytes},
            device_memory=device_memory(self._device),
            host_bytes=self.engine.weights.host_bytes if self.engine.weights else 0,
            num_pages=scheduler.pages.num_pages - 1,
            num_free_pages=scheduler.pages.num_free,
            num_running=len(scheduler.running),
            num_waiting=len(scheduler.waiting),
            fingerprint=self._origin.fingerprint,
            revision=self._revision,
            chat_template_hash=chats.template_hash(template) if template else None,
            versions={"nbllm": __version__, "torch": torch.__version__},
        )

    def close(self) -> None:
        """Abort what runs and free the weights and the KV cache. Closing twice is no error.

        An interrupt is raised when that is done, once it has begun; a second one at once.

        >>> with LLM() as another:  # closes it at the end
        ...     another.info().name
        'tiny'
        """
        handled = sys.exception()
        try:
            self._free()
        except KeyboardInterrupt as error:
            if self.engine.closed:  # half of it would live on in a traceback
                clear_frames(error, handled)
                self._free()
            raise

    def _free(self) -> None:
        self._closed = True
        if not self._freed:
            self.engine.close()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            self._freed = True

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._num_parameters:,} parameters"
        return f"<LLM {self.name!r} ({state}, {self._device})>"

    def _weight_bytes(self) -> dict[str, int]:
        """Bytes of what the model is made of, on its device now."""
        away = self.engine.weights is not None and self.engine.weights.away
        return dict.fromkeys(self._sizes, 0) if away else self._sizes

    def _device_memory(self) -> dict[str, int]:
        """Of a GPU, whoever uses it; of a CPU nothing."""
        if self._device.type != "cuda":
            return {}
        return {f"device_memory_{k}_bytes": n for k, n in device_memory(self._device).items()}

    @cached_property
    def _sizes(self) -> dict[str, int]:
        network = cast(nn.Module, self.engine.runner.model)
        weights = 0 if isinstance(self._origin, Live) else _bytes(network.parameters())
        return {"weights": weights, "tables": _bytes(network.buffers())}

    def _refuse_closed(self) -> None:
        """For what only looks, from any thread."""
        if self._closed:
            raise ClosedError(f"{self.name!r} was closed; load it again")

    def _check_open(self) -> None:
        self._refuse_closed()
        if isinstance(live := self._origin, Live):
            if live.moved:
                self.engine.weights_changed(live.build(self._dtype, self._device))
            elif live.written():
                self.engine.weights_changed()

    def _each(self, params: Any, count: int) -> list[AnyParams]:
        """Parameters for each of `count` prompts; the model's own where none are given."""
        self._check_open()
        return one_each(params if params is not None else self._defaults, count)

    def _any(self, prompts_or_messages: Any, **options: Any) -> list[Prompt]:
        """Prompts, whether they came as such or as conversations; `options` are for the latter."""
        if conversations_in(prompts_or_messages) is None:
            return as_prompts(prompts_or_messages)
        return self._conversations(prompts_or_messages, **options)

    def _conversations(
        self,
        messages: Any,
        template: str | Path | None = None,
        tools: list[dict[str, Any]] | None = None,
        **options: Any,
    ) -> list[Prompt]:
        """The rendered prompt of one conversation or each of a list."""
        conversations = conversations_in(messages)
        if conversations is None:
            if isinstance(messages, Sequence) and not messages:
                return []
            raise PromptError(
                "chat takes a list of messages with 'role' and 'content', or a list of those"
            )
        source = chats.find_template(
            self.tokenizer, template, self._chat_template, tools=tools is not None
        )
        return [self._conversation(each, source, tools, **options) for each in conversations]

    def _conversation(self, messages: Any, source: str, tools: Any, **options: Any) -> Prompt:
        text = chats.render(self.tokenizer, messages, source, tools=tools, **options)
        final = messages[-1] if options.get("continue_final_message") else None
        style = chats.style_of(source, text, tools=bool(tools), final=final)
        return Prompt(
            text=text,
            # the template writes its own BOS
            token_ids=self.tokenizer.encode(text, add_special_tokens=False),
            read=partial(chats.parse, style=style),
        )

    def _streams(self, prompts: list[Prompt], params: Any) -> list[Job]:
        """As `_jobs`, for what can be reported while it runs."""
        jobs = self._jobs(prompts, params)
        if not all(isinstance(job, Job) for job in jobs):
            raise ParamError(NO_STREAM)
        return [job for job in jobs if isinstance(job, Job)]

    def _feeds(self, prompts: list[Prompt], params: Any) -> Iterator[Job]:
        """As `_streams`, each made when its turn comes."""
        each = self._each(params, len(prompts))
        if not all(isinstance(p, SamplingParams) for p in each):
            raise ParamError(NO_STREAM)
        jobs = self.intake.one_by_one(prompts, each, [0] * len(prompts))
        return cast(Iterator[Job], jobs)

    def _searches(self, prompts: list[Prompt], params: Any) -> list[BeamJob]:
        """As `_jobs`, for beam searches reported as such."""
        jobs = self._jobs(prompts, params)
        searches = [job.as_search() for job in jobs if isinstance(job, BeamCompletions)]
        if len(searches) != len(jobs):
            raise ParamError("beam_search takes BeamSearchParams; generate takes SamplingParams")
        return searches

    def _jobs(
        self, prompts: list[Prompt], params: Any, priority: Any = None
    ) -> list[Job | BeamCompletions]:
        """Requests for every prompt, all checked before any is added."""
        each = self._each(params, len(prompts))
        return self.intake.jobs(prompts, each, _priorities(priority, len(prompts)))


def _tokenizer(tokenizer: Any, folder: Path | None) -> Tokenizer:
    if tokenizer is None and folder is not None:
        return Tokenizer.from_folder(folder)
    if isinstance(tokenizer, str | Path):
        return Tokenizer.from_folder(load.find(tokenizer))
    return Tokenizer.from_object(tokenizer)


def _at_least_one(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ParamError(f"{name} must be an integer ≥ 1, got {value!r}")
    return value


def _num_parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    # a weight that sleeps has no memory behind its storage
    return sum(min(t.numel() * t.element_size(), t.untyped_storage().nbytes()) for t in tensors)


def _priorities(priority: Any, count: int) -> list[int]:
    if priority is None:
        return [0] * count
    many = [priority] * count if isinstance(priority, int) else list(priority)
    if len(many) != count:
        raise ParamError(f"got {len(many)} priorities for {count} prompts; give one, or one each")
    return many
