"""nbllm on a GPU, with random weights in the shapes of well-known models.

Beside each figure, where there is one, stands what vLLM 0.25.1 did with the same work: measured
once, on one NVIDIA H200, in-process, with its defaults. Every case runs once or twice to warm up; then it
is timed with an empty prefix cache.
"""

import gc
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from nbllm import LLM, BeamSearchParams, SamplingParams

from . import gpu_transformers

SHAPES = {
    "opt-125m": {
        "architectures": ["OPTForCausalLM"],
        "model_type": "opt",
        "vocab_size": 50272,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "ffn_dim": 3072,
        "max_position_embeddings": 2048,
        "do_layer_norm_before": True,
        "word_embed_proj_dim": 768,
        "num_attention_heads": 12,
        "activation_function": "relu",
        "eos_token_id": 2,
        "tie_word_embeddings": True,
        "enable_bias": True,
    },
    "qwen3-0.6b": {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40960,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
        "eos_token_id": 151645,
    },
    "llama-3-8b": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "tie_word_embeddings": False,
        "eos_token_id": 128001,
    },
}
VLLM = {
    "batch 1, 128 in, 256 out, greedy": (655, 608, 201),
    "first token, 128-token prompt": (4.2, 5.8, 8.7),
    "prefill 7900": (None, 36.6, 205),
    "256 requests, 100-1024 in and out, T 0.6": (36300, 23000, 9780),
    "beams 5 x 1 prompt x 64": (0.35, 0.78, 0.64),
    "beams 8 x 16 prompts x 64": (3.52, 4.45, 5.33),
}
VOCAB = 10000
KV_BYTES = 48 << 30


def write_folder(name: str, folder: Path) -> None:
    """A config, and a tokenizer."""
    shape = SHAPES[name]
    (folder / "config.json").write_text(json.dumps({**shape, "dtype": "bfloat16"}))
    write_tokenizer(shape["vocab_size"], folder)


def write_tokenizer(size: int, folder: Path) -> None:
    """One token a byte; the others are words w256, w257 …"""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocab |= {f"Ġw{i}": i for i in range(len(vocab), size)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    kind = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind))


def random_prompts(count: int, low: int, high: int, seed: int) -> list[list[int]]:
    r = random.Random(seed)
    return [[r.randint(0, VOCAB) for _ in range(r.randint(low, high))] for _ in range(count)]


ONE, LONG = random_prompts(1, 128, 128, 1), random_prompts(1, 7900, 7900, 3)


def many() -> tuple[list[list[int]], list[SamplingParams]]:
    """256 prompts and outputs of 100 to 1024 tokens."""
    r = random.Random(0)
    prompts = [[r.randint(0, VOCAB) for _ in range(r.randint(100, 1024))] for _ in range(256)]
    lengths = [r.randint(100, 1024) for _ in prompts]
    each = [SamplingParams(temperature=0.6, max_tokens=n, ignore_eos=True) for n in lengths]
    return prompts, each


def seconds(llm: LLM, work: Callable[[], object], rounds: int, before: int = 1) -> float:
    """The median of `rounds`, after some that do not count."""
    times = []
    for _ in range(before + rounds):
        llm.reset_prefix_cache()
        torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[before:])


def greedy(count: int) -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=count, ignore_eos=True, detokenize=False)


def host_times(llm: LLM, rows: int) -> list[float]:
    """Seconds that the host works on a token of each row: the device is waited for elsewhere."""
    from nbllm.engine.cuda_runner import Column

    waited, read = [0.0], Column.read

    def timed(column, at, top):
        begin = time.perf_counter()
        column.done.synchronize()
        waited[0] += time.perf_counter() - begin
        return read(column, at, top)

    times, engine = [], llm.engine
    requests = [
        j.requests[0]
        for j in llm._jobs(_prompts([[1, 2, i] for i in range(rows)]), [greedy(200)] * rows)
    ]
    for request in requests:
        engine.add(request)
    Column.read = timed
    try:
        while not all(r.finished for r in requests):
            before, waited[0], begin = requests[0].num_output, 0.0, time.perf_counter()
            engine.step()
            took = time.perf_counter() - begin - waited[0]
            times.append(took / max(1, requests[0].num_output - before))
    finally:
        Column.read = read
    return times[len(times) // 4 : -2]


def _prompts(ids):
    from nbllm.prompts import as_prompts

    return as_prompts(ids)


def run(
    name: str, only: str | None = None, peers: bool = False
) -> Iterator[tuple[str, float, str]]:
    """only: "beams"; peers: `transformers` too, which takes minutes."""
    with tempfile.TemporaryDirectory() as folder:
        write_folder(name, Path(folder))
        begin = time.perf_counter()
        llm = LLM(folder, load_format="dummy", kv_cache_memory_bytes=KV_BYTES, device="cuda")
        with llm:
            torch.cuda.synchronize()
            yield f"{name}, load with random weights", time.perf_counter() - begin, "s"
            begin = time.perf_counter()
            llm.generate([[1, 2, 3]], greedy(1), use_tqdm=False)
            yield f"{name}, first call, one token", time.perf_counter() - begin, "s"
            ours = {}
            for case, figure, unit in beams(llm) if only == "beams" else cases(llm):
                yield f"{name}, {case}", figure, unit
                ours[case] = figure
                theirs = VLLM.get(case, (None,) * 3)[list(SHAPES).index(name)]
                if theirs is not None:
                    yield f"{name}, {case}, vLLM 0.25.1 as recorded", theirs, unit
            long = LONG if llm.max_model_len >= 8000 else None
        del llm
        gc.collect()
        torch.cuda.empty_cache()
        if not peers:
            return
        prompts, params = many()
        work = (ONE, long, prompts, [p.max_tokens or 0 for p in params])
        for case, figure, unit in gpu_transformers.run(folder, *work):
            yield f"{name}, {case}, transformers", figure, unit
            if mine := ours.get(case):
                ratio = mine / figure if "/s" in unit else figure / mine
                yield f"{name}, {case}, nbllm is faster by", ratio, "x"


def cases(llm: LLM) -> Iterator[tuple[str, float, str]]:
    generate = lambda prompts, params: llm.generate(prompts, params, use_tqdm=False)  # noqa: E731
    took = seconds(llm, lambda: generate(ONE, greedy(256)), 3)
    yield "batch 1, 128 in, 256 out, greedy", 256 / took, "tokens/s"
    took = seconds(llm, lambda: generate(ONE, greedy(1)), 9)
    yield "first token, 128-token prompt", took * 1e3, "ms"
    if llm.max_model_len >= 8000:
        took = seconds(llm, lambda: generate(LONG, greedy(1)), 5)
        yield "prefill 7900", took * 1e3, "ms"
    prompts, each = many()
    took = seconds(llm, lambda: generate(prompts, each), 1)
    total = sum(p.max_tokens for p in each)
    yield "256 requests, 100-1024 in and out, T 0.6", total / took, "tokens/s"
    for rows in (1, 256):
        yield f"host, a step of {rows}", statistics.median(host_times(llm, rows)) * 1e6, "µs"
    yield from beams(llm)


def beams(llm: LLM) -> Iterator[tuple[str, float, str]]:
    for width, count in ((5, 1), (8, 16)):
        prompts = [{"prompt_token_ids": p} for p in random_prompts(count, 128, 128, 2)]
        params = BeamSearchParams(beam_width=width, max_tokens=64, ignore_eos=True)
        # many short prompts are captured when they come again
        took = seconds(llm, lambda p=prompts, q=params: llm.beam_search(p, q), 3, before=2)
        prompts_in_words = "1 prompt" if count == 1 else f"{count} prompts"
        yield f"beams {width} x {prompts_in_words} x 64", took, "s"
