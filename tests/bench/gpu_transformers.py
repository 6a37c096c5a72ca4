"""`transformers`, with the same shapes and the same work as `gpu`.

`generate` as its documentation shows it: bfloat16, SDPA, its own cache, one padded batch. Weights are
random too, so only the time matters; EOS is ignored.
"""

import time
from collections.abc import Callable, Iterator

import torch

Prompts = list[list[int]]


def seconds(work: Callable[[], object]) -> float:
    """Of a second run: the first one warms up."""
    for _ in range(2):
        begin = time.perf_counter()
        work()
        took = time.perf_counter() - begin
    return took


def build(folder: str, device: str):
    """The folder's model with random weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def generate(model, prompts: Prompts, count: int, **options) -> None:
    """`count` tokens for each prompt, the shorter ones padded on the left; waits for the device."""
    device, longest = model.device, max(map(len, prompts))
    ids = torch.tensor([[1] * (longest - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    found = model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=count,
        min_new_tokens=count,
        pad_token_id=1,
        **{"do_sample": False, **options},
    )
    found.tolist()


def run(
    folder: str,
    one: Prompts,
    long: Prompts | None,
    many: Prompts,
    counts: list[int],
    device: str = "cuda",
) -> Iterator[tuple[str, float, str]]:
    """Figures under the names of `gpu`'s cases. counts: how many tokens each of `many` wants."""
    model = build(folder, device)
    took = seconds(lambda: generate(model, one, 256))
    yield "batch 1, 128 in, 256 out, greedy", 256 / took, "tokens/s"
    took = seconds(lambda: generate(model, one, 1))
    yield "first token, 128-token prompt", took * 1e3, "ms"
    if long:
        yield "prefill 7900", seconds(lambda: generate(model, long, 1)) * 1e3, "ms"
    generate(model, many[:2], 2, do_sample=True)
    begin = time.perf_counter()
    # one batch runs until its longest request is done
    generate(model, many, max(counts), do_sample=True, temperature=0.6)
    took = time.perf_counter() - begin
    yield "256 requests, 100-1024 in and out, T 0.6", sum(counts) / took, "tokens/s"
    for width, count in ((5, 1), (8, 16)):
        beams = {"num_beams": width, "early_stopping": True, "num_return_sequences": width}
        took = seconds(lambda b=beams, n=count: generate(model, one * n, 64, **b))
        prompts_in_words = "1 prompt" if count == 1 else f"{count} prompts"
        yield f"beams {width} x {prompts_in_words} x 64", took, "s"
