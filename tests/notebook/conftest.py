"""An IPython shell with the magics, and a fake LLM whose every step a test can control."""

import atexit
import math
import os
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from beam_outputs import Words, searched

from nbllm.errors import GenerationInterrupted, ModelError, PromptError
from nbllm.outputs import (
    ChoiceOutput,
    CompletionOutput,
    Counter,
    Logprob,
    RequestMetrics,
    RequestOutput,
    ScoreOutput,
)
from nbllm.sampling_params import RequestOutputKind, SamplingParams

ROOT = Path(__file__).parents[2]


class FakeInfo:
    """What `LLM.info()` returns, without a model."""

    def __init__(self, name: str):
        self.name = name
        self.path, self.architecture, self.implementation = "/models/fake", "llama", "native"
        self.dtype, self.device, self.num_parameters = "float32", "cpu", 1_234_567
        self.max_model_len, self.weight_bytes, self.kv_bytes = 512, 4_938_268, 2**24
        self.memory = {"weights": self.weight_bytes, "tables": 0, "kv_cache": self.kv_bytes}
        self.device_memory = {}
        self.num_pages, self.num_free_pages, self.num_running, self.num_waiting = 64, 60, 0, 0
        self.fingerprint, self.revision, self.chat_template_hash = "f00d", None, "cafe"
        self.versions, self.quantization = {"nbllm": "0"}, None
        self.memory = {"weights": 4_938_268, "tables": 0, "kv_cache": 2**22}
        self.host_bytes = 0


class FakeLLM:
    """Says the words of its prompt again and again, a word a token.

    at_step: called before every step with its number, inside the generator; it may raise. ended: what
    `stream` has finished, by its place.
    """

    def __init__(self, model="tiny", **options):
        if model == "no-such-model":
            raise ModelError(f"{model!r} is neither a folder nor a model on the hub")
        self.name, self.options, self.max_model_len = str(model), options, 512
        self.defaults = SamplingParams(temperature=0.7)
        self.at_step: Callable[[int], None] = lambda step: None
        self.calls: list[tuple[list, list[SamplingParams]]] = []
        self.ended: dict[int, RequestOutput] = {}
        self.running, self.closed, self.asleep = 0, False, 0
        self.tokenizer = types.SimpleNamespace(
            encode=lambda text: text.split(),
            config={"chat_template": {"default": "{{ 1 }}", "tool_use": "{{ 2 }}"}},
            folder=None,
        )

    def get_default_sampling_params(self):
        return self.defaults.clone()

    def info(self):
        return FakeInfo(self.name)

    def close(self):
        self.closed = True

    def sleep(self, level=1):
        self.asleep = level

    def wake_up(self):
        self.asleep = 0

    def is_sleeping(self):
        return bool(getattr(self, "asleep", 0))

    def requests(self):
        return []

    def reset_prefix_cache(self):
        self.num_resets = getattr(self, "num_resets", 0) + 1

    def get_metrics(self):
        values = {
            "prefix_cache_queries": 200, "prefix_cache_hits": 50,
            "generation_tokens": 1234, "tokens_per_second": 99.6,
        }  # fmt: skip
        return [Counter(name=f"nbllm:{name}", value=value) for name, value in values.items()]

    def beam_search(self, prompts, params, use_tqdm=False):
        self.calls.append((prompts, params))
        if "" in prompts:
            raise PromptError("a prompt is empty")
        done, step = [], 0

        def at_step(number):
            nonlocal step
            self.at_step(number)
            step = number

        for prompt in prompts:
            words = prompt.split()
            said = Words("", *(f" {word}" for word in words))

            def choices(ids, words=words):
                # the next word of the prompt, or the one after that, or the end
                next_word = 2 + len(ids) % len(words)
                other = 2 + (len(ids) + 1) % len(words)
                return {next_word: 0.6, other: 0.3, 0: 0.1} if other != next_word else {other: 1.0}

            its = {"prompt": prompt, "at_step": at_step}
            try:
                done.append(searched(said, choices, params, **its))
            except KeyboardInterrupt:
                its["at_step"] = lambda number: None
                rest = prompts[len(done) :]
                steps = [step, *([0] * (len(rest) - 1))]
                done += [
                    searched(said, choices, params, **{**its, "prompt": p}, num_steps=n)
                    for p, n in zip(rest, steps, strict=True)
                ]
                raise GenerationInterrupted(done) from None
        return done

    def preprocess_chat(self, messages, add_generation_prompt=True, **options):
        """A token a word, one for each message, and one to begin the answer."""
        ids = [1 for m in messages for _ in ("role", *m["content"].split())]
        return [{"prompt": repr(messages), "prompt_token_ids": ids + [1] * add_generation_prompt}]

    def score(self, prompts, continuations=None, use_tqdm=True):
        self.at_step(1)
        said = continuations or [None] * len(prompts)
        return [
            ScoreOutput(prompt=p, continuation=c, token_ids=list(range(n)), logprobs=[-0.5] * n)
            for p, c in zip(prompts, said, strict=True)
            if (n := len((p if c is None else c).split()))
        ]

    def choose(self, prompts, choices, normalize=False, use_tqdm=True):
        """The longer a choice, the less likely."""
        self.at_step(1)
        made = []
        for prompt, own in zip(prompts, choices, strict=True):
            weights = [1 / len(c) for c in own]
            shares = [w / sum(weights) for w in weights]
            made.append(
                ChoiceOutput(
                    prompt=prompt, choices=list(own), probabilities=shares,
                    logprobs=[math.log(s) for s in shares], num_tokens=[1] * len(own),
                )
            )  # fmt: skip
        return made

    def generate(self, prompts, params, use_tqdm=True):
        return [output for output in self.stream(prompts, params) if output.finished]

    def stream(self, prompts, params, **options):
        self.calls.append((prompts, params))
        self.stream_options = {n: v for n, v in options.items() if n != "interval"}
        texts = [p if isinstance(p, str) else p[-1]["content"] for p in prompts]
        if "" in texts:
            raise PromptError("a prompt is empty")
        lengths = [p.max_tokens or 5 for p in params]
        self.running, step = len(texts), 0
        latest = [output(i, t, p, 0) for i, (t, p) in enumerate(zip(texts, params, strict=True))]
        try:
            for step in range(1, max(lengths) + 1):
                self.at_step(step)
                for i, (text, p) in enumerate(zip(texts, params, strict=True)):
                    if step <= lengths[i]:
                        reason = "length" if step == lengths[i] else None
                        latest[i] = output(i, text, p, step, reason)
                        if reason:
                            self.ended[i] = latest[i]
                        if reason or p.output_kind is not RequestOutputKind.FINAL_ONLY:
                            yield latest[i]
        except KeyboardInterrupt:
            partial = [
                o if o.finished else output(i, texts[i], params[i], step - 1, "abort")
                for i, o in enumerate(latest)
            ]
            raise GenerationInterrupted(partial) from None
        finally:
            self.running = 0


def output(i: int, text: str, params: SamplingParams, length: int, reason: str | None = None):
    """What prompt `i` is after `length` tokens."""
    words = text.split() or ["word"]
    said = [words[j % len(words)] for j in range(length)]
    logprobs = None
    if params.logprobs is not None:
        logprobs = [
            {j: Logprob(logprob=-0.5, rank=1, decoded_token=f" {word}")}
            | {
                1000 + k: Logprob(logprob=-1.0 - k, rank=2 + k, decoded_token=f" other{k}")
                for k in range(params.logprobs)
            }
            for j, word in enumerate(said)
        ]
    completions = [
        CompletionOutput(
            index=k,
            text="".join(f" {word}" for word in said),
            token_ids=list(range(length)),
            cumulative_logprob=-0.5 * length,
            logprobs=logprobs,
            finish_reason=reason,
        )
        for k in range(params.n)
    ]
    now = time.time()
    return RequestOutput(
        request_id=f"7-{i}",
        prompt=text,
        prompt_token_ids=list(range(len(words))),
        outputs=completions,
        finished=reason is not None,
        metrics=RequestMetrics(
            arrival_time=now, first_token_time=now, finished_time=now, tokens_per_second=1.0
        ),
    )


@pytest.fixture
def fake(monkeypatch):
    """Every model that is loaded is a `FakeLLM`."""
    from nbllm import resident

    module = types.ModuleType("nbllm.llm")
    module.LLM = FakeLLM
    monkeypatch.setitem(sys.modules, "nbllm.llm", module)
    monkeypatch.setattr(resident, "_llms", {})
    monkeypatch.setattr(resident, "_current", None)
    monkeypatch.setattr(resident, "_last", None)
    return FakeLLM


@pytest.fixture
def bare_shell():
    """An IPython shell that writes no history."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    yield shell
    InteractiveShell.clear_instance()
    atexit.unregister(shell.atexit_operations)  # hundreds of shells take minutes to end together


@pytest.fixture
def shell(fake, bare_shell):
    """A shell with the magics, over the fake model."""
    bare_shell.run_line_magic("load_ext", "nbllm")
    yield bare_shell
    bare_shell.run_line_magic("unload_ext", "nbllm")


@pytest.fixture
def llm(shell):
    """The fake model, loaded."""
    from nbllm import resident

    return resident.load("fake")


@pytest.fixture
def run(shell):
    """Run a cell that works; returns its value."""

    def run(source: str):
        result = shell.run_cell(source)
        result.raise_error()
        return result.result

    return run


@pytest.fixture
def fails(shell, capsys):
    """Run a cell that fails; returns the one line it shows."""

    def fails(source: str) -> str:
        capsys.readouterr()
        result = shell.run_cell(source)
        assert not result.success
        lines = [line for stream in capsys.readouterr() for line in stream.splitlines() if line]
        assert len(lines) == 1, lines
        return lines[0]

    return fails


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Of a kernel that reads no configuration of this machine's user."""
    home = tmp_path_factory.mktemp("jupyter")
    names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR")
    mine = [str(ROOT), str(ROOT / "kernels"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    path = os.pathsep.join(filter(None, mine))
    return {**os.environ, **{name: str(home / name) for name in names}, "PYTHONPATH": path}
