"""Beam search by nbllm and by `transformers` on the bundled model, in one process, interleaved.

Float32, eight beams, 64 new tokens, EOS disabled in both; the prefix cache is emptied before each
run. The figures are medians of seconds for a call, the results' texts included.
"""

import statistics
from collections.abc import Iterator

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from nbllm import LLM, BeamSearchParams

from .cpu import PROMPTS, ROUNDS, seconds

WIDTH, LENGTH = 8, 64
PARAMS = BeamSearchParams(beam_width=WIDTH, max_tokens=LENGTH, ignore_eos=True)


def ours(llm: LLM, prompts: list[str]) -> list[str]:
    llm.reset_prefix_cache()
    return [o.sequences[0].text for o in llm.beam_search(prompts, PARAMS)]


def theirs(model, tokenizer, prompts: list[str]) -> list[str]:
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    batch.pop("token_type_ids", None)
    out = model.generate(
        **batch,
        num_beams=WIDTH,
        do_sample=False,
        max_new_tokens=LENGTH,
        min_new_tokens=LENGTH,
        pad_token_id=0,
    )
    return tokenizer.batch_decode(out, skip_special_tokens=True)


def run() -> Iterator[tuple[str, float, str]]:
    with LLM("tiny") as llm:
        folder = llm.info().path
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        for count in (1, 16):
            prompts = [PROMPTS[i % len(PROMPTS)] for i in range(count)]
            times: dict[str, list[float]] = {"nbllm": [], "transformers": []}
            for turn in range(ROUNDS + 1):
                both = seconds(ours, llm, prompts), seconds(theirs, model, tokenizer, prompts)
                if turn:  # the first warms up
                    for engine, took in zip(times, both, strict=True):
                        times[engine].append(took)
            medians = {engine: statistics.median(t) for engine, t in times.items()}
            name = f"{count} prompt{'s' * (count > 1)} x {WIDTH} beams x {LENGTH}"
            yield from ((f"{name}, {engine}", s, "s") for engine, s in medians.items())
            yield f"{name}, ratio", medians["transformers"] / medians["nbllm"], "x"
