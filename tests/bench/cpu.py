"""nbllm and `transformers` on the bundled model, in one process, float32, interleaved.

Every case is run several times by both, turn by turn; the figures are medians of tokens per second
over the tokens that were asked for, the ratio the median of those of each turn: what slows a machine
down for a while slows both. Greedy, EOS ignored, the prefix cache emptied before each run.
"""

import statistics
import time
from collections.abc import Callable, Iterator

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from nbllm import LLM, SamplingParams

PROMPTS = [
    "Once upon a time, there was a fox who",
    "The capital of France is",
    "Review: The soup was cold and the waiter was rude. Sentiment:",
    "Translate to French: The cat sleeps.",
]
ROUNDS = 9


def cases() -> dict[str, list[tuple[str, int]]]:
    """Name → (prompt, tokens to generate) of each request."""
    mixed = torch.randint(16, 257, (32,), generator=torch.Generator().manual_seed(0)).tolist()
    return {
        "1 prompt x 64": [(PROMPTS[0], 64)],
        "16 prompts x 64": [(PROMPTS[i % 4], 64) for i in range(16)],
        "32 prompts x 16-256": [(PROMPTS[i % 4], n) for i, n in enumerate(mixed)],
    }


def ours(llm: LLM, work: list[tuple[str, int]]) -> None:
    llm.reset_prefix_cache()
    params = [SamplingParams(temperature=0, max_tokens=n, ignore_eos=True) for _, n in work]
    llm.generate([prompt for prompt, _ in work], params, use_tqdm=False)


def theirs(model, tokenizer, work: list[tuple[str, int]]) -> None:
    """One padded batch that runs until its longest request is done: what `generate` offers."""
    batch = tokenizer([prompt for prompt, _ in work], return_tensors="pt", padding=True)
    longest = max(n for _, n in work)
    batch.pop("token_type_ids", None)
    model.generate(
        **batch, max_new_tokens=longest, min_new_tokens=longest, do_sample=False, pad_token_id=0
    )


def seconds(call: Callable, *args) -> float:
    begin = time.perf_counter()
    call(*args)
    return time.perf_counter() - begin


def run() -> Iterator[tuple[str, float, str]]:
    with LLM("tiny") as llm:
        folder = llm.info().path
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        for name, work in cases().items():
            times: dict[str, list[float]] = {"nbllm": [], "transformers": []}
            for turn in range(ROUNDS + 1):
                both = seconds(ours, llm, work), seconds(theirs, model, tokenizer, work)
                if turn:  # the first warms up
                    for engine, took in zip(times, both, strict=True):
                        times[engine].append(took)
            tokens = sum(n for _, n in work)
            speed = {engine: tokens / statistics.median(t) for engine, t in times.items()}
            yield from ((f"{name}, {engine}", s, "tokens/s") for engine, s in speed.items())
            pairs = zip(times["transformers"], times["nbllm"], strict=True)
            yield f"{name}, ratio", statistics.median(slow / fast for slow, fast in pairs), "x"
