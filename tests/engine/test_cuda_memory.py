"""A guest on a GPU: its cache grows and shrinks under captured graphs, and all of it goes back.

Every test needs a GPU; `test_kv_memory.py` has those of one that is made up.
"""

import gc
import json
import random
import subprocess
import sys
import threading
import time

import pytest
import torch
from tiny_models import write_model, write_tokenizer

from nbllm import LLM, SamplingParams
from nbllm.engine import build, kv_memory
from nbllm.engine.kv_memory import MappedMemory, PlainMemory
from nbllm.errors import OutOfMemoryError
from nbllm.prompts import as_prompts

pytestmark = pytest.mark.gpu

GIB = 1 << 30
LIMIT = 4096
SHORT = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
LONG = SamplingParams(temperature=0, max_tokens=LIMIT - 200, ignore_eos=True)
MORE = SamplingParams(temperature=0, max_tokens=300, ignore_eos=True)
SHAPE_8B = {
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
    "dtype": "bfloat16",
}


@pytest.fixture(autouse=True, scope="module")
def gpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    torch.zeros(1, device="cuda")


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A tiny model of a long context, whose pages are large: 512 KiB in float32."""
    folder = tmp_path_factory.mktemp("wide")
    changes = {"num_hidden_layers": 4, "num_key_value_heads": 4, "head_dim": 64}
    write_model("llama", folder, max_position_embeddings=LIMIT, **changes)
    return folder


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 2 MiB: 4 pages of `wide`."""
    for name in ("CHUNK", "SMALL"):
        monkeypatch.setattr(kv_memory, name, 2 << 20)


@pytest.fixture
def plain(monkeypatch):
    """f(folder, prompts, params) -> tokens on a cache that is one tensor."""

    def generate(folder, many, params) -> list[list[int]]:
        with monkeypatch.context() as patch:
            patch.setattr(build, "mapper", lambda device: None)
            llm = LLM(folder, device="cuda")
        with llm:
            assert isinstance(llm.engine.scheduler.pages.memory, PlainMemory)
            return tokens(llm.generate(many, params, use_tqdm=False))

    return generate


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """An `LLM` in the shape of Llama-3-8B, with random weights."""
    folder = tmp_path_factory.mktemp("8b")
    (folder / "config.json").write_text(json.dumps(SHAPE_8B))
    write_tokenizer(folder)
    with LLM(folder, device="cuda", load_format="dummy") as llm:
        yield llm


def prompts(count: int, longest: int = 90, seed: int = 0) -> list[list[int]]:
    r = random.Random(seed)
    return [[r.randrange(256) for _ in range(r.randint(1, longest))] for _ in range(count)]


def tokens(outputs) -> list[list[int]]:
    return [o.outputs[0].token_ids for o in outputs]


def afresh(llm, many) -> list[list[int]]:
    """Greedy tokens that owe nothing to a cached prefix, which changes how sums are rounded."""
    llm.reset_prefix_cache()
    return tokens(llm.generate(many, GREEDY, use_tqdm=False))


def memory_of(llm) -> MappedMemory:
    memory = llm.engine.scheduler.pages.memory
    assert isinstance(memory, MappedMemory)
    return memory


def free(device: int = 0) -> int:
    gc.collect()
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


def fill(leave: int) -> torch.Tensor:
    """A user's tensor that leaves so many bytes of the GPU free."""
    return torch.empty(free() - leave, dtype=torch.uint8, device="cuda")


def test_an_idle_engine_has_little(large):
    assert memory_of(large).num_bytes <= GIB
    assert memory_of(large).bound > 60 * GIB


def test_it_grows_under_captured_graphs(wide, small_chunks, plain):
    many = [[1] * 100, [2, 3], [5] * 150]
    with LLM(wide, device="cuda") as llm:
        llm.generate(many, SHORT, use_tqdm=False)
        graphs, begun = set(llm.engine.runner.graphs._made), sum(memory_of(llm).mapped)
        address = memory_of(llm).kv.data_ptr()
        llm.reset_prefix_cache()
        found = tokens(llm.generate(many, LONG, use_tqdm=False))
        assert set(llm.engine.runner.graphs._made) == graphs
        assert sum(memory_of(llm).mapped) >= 3 * 60 // 4 > begun
        assert memory_of(llm).kv.data_ptr() == address
        assert llm.info().num_free_pages == llm.info().num_pages
    assert found == plain(wide, many, LONG)


def test_a_chunk_that_comes_again_is_empty(wide, small_chunks):
    """NaN in memory that goes, and may come back, reaches nobody."""
    many = prompts(20, longest=900)
    with LLM(wide, device="cuda") as llm:
        memory, pages = memory_of(llm), llm.engine.scheduler.pages
        want = tokens(llm.generate(many, GREEDY, use_tqdm=False))
        graphs = set(llm.engine.runner.graphs._made)
        for _ in range(3):
            spans = [s for s, there in zip(memory._spans, memory.mapped, strict=True) if there]
            assert len(spans) > 20
            for start, stop in spans[1:]:
                memory._bytes[start:stop].fill_(0xFF)
            before = free()
            pages.shrink(everything=True)
            assert free() - before == (len(spans) - 1) * (2 << 20)
            assert sum(memory.mapped) == 1
            assert memory.map(1)
            assert not memory._bytes[slice(*memory._spans[1])].any()
            memory.unmap([1])
            assert tokens(llm.generate(many, GREEDY, use_tqdm=False)) == want
        assert set(llm.engine.runner.graphs._made) == graphs


def test_beside_a_users_hundred_gibibytes(large):
    many = prompts(48, longest=300)
    params = SamplingParams(temperature=0, max_tokens=300, ignore_eos=True)
    if free() < 110 * GIB:
        pytest.skip("needs a GPU with 130 GiB")
    mine = torch.full((100 * GIB,), 7, dtype=torch.uint8, device="cuda")
    begun = memory_of(large).num_bytes
    want = afresh(large, many[:4])
    out = large.generate(many, params, use_tqdm=False)
    assert {len(t) for t in tokens(out)} == {300}
    assert memory_of(large).num_bytes > begun
    now, total = torch.cuda.mem_get_info()
    assert now > 0.09 * total
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(30 * GIB, dtype=torch.uint8, device="cuda")
    assert afresh(large, many[:4]) == want
    assert all(bool((part == 7).all()) for part in mine.split(8 * GIB))


def test_a_full_gpu_is_one_error_and_the_engine_goes_on(large):
    [prompt] = [[3] * 7000]
    want = tokens(large.generate([prompt[:50]], GREEDY, use_tqdm=False))
    large.engine.scheduler.pages.shrink(everything=True)
    mine = fill(leave=2 * GIB)
    with pytest.raises(OutOfMemoryError, match=r"7000 tokens need .*MiB of KV cache; .* free"):
        large.generate([prompt], GREEDY, use_tqdm=False)
    assert large.engine.num_unfinished == 0
    assert tokens(large.generate([prompt[:50]], GREEDY, use_tqdm=False)) == want
    several = large.generate([[i + 1] * 400 for i in range(12)], GREEDY, use_tqdm=False)
    assert {len(t) for t in tokens(several)} == {24}
    assert memory_of(large).num_bytes <= 256 << 20
    del mine
    free()
    assert len(large.generate([prompt], GREEDY, use_tqdm=False)[0].outputs[0].token_ids) == 24
    assert large.info().num_free_pages == large.info().num_pages


@pytest.mark.parametrize("leave", [700 << 20, 160 << 20])
def test_a_step_without_memory_takes_less_or_ends(large, leave):
    prompt, memory = [3] * 6000, memory_of(large)
    large.generate([[1] * 20], GREEDY, use_tqdm=False)  # captured
    large.reset_prefix_cache()
    large.engine.scheduler.pages.room(96)
    large.engine.runner.relieve()
    mine, keep, ended = fill(leave), memory.keep, ""
    memory.keep = 0.0
    try:
        large.generate([prompt], SHORT, use_tqdm=False)
    except OutOfMemoryError as error:
        ended = str(error)
    memory.keep = keep
    print(f"{leave >> 20} MiB left: {ended or 'done with less at a time'}")
    assert not ended or ("a step needs" in ended and " are free" in ended)
    assert large.engine.num_unfinished == 0
    del mine
    free()
    large.reset_prefix_cache()
    assert len(large.generate([prompt], SHORT, use_tqdm=False)[0].outputs[0].token_ids) == 4


@pytest.mark.parametrize("level", [1, 2])
def test_sleep_gives_all_back_and_tokens_stay(large, level):
    many = prompts(3, seed=8)
    want, awake, begin = afresh(large, many), free(), time.perf_counter()
    large.sleep(level)
    print(f"sleep({level}) took {time.perf_counter() - begin:.2f} s")
    assert large.is_sleeping()
    assert free() - awake > 15 * GIB
    assert sum(p.untyped_storage().nbytes() for p in large.engine.runner.model.parameters()) == 0
    mine = fill(leave=8 * GIB)
    with pytest.raises(OutOfMemoryError, match=r"waking up needs 14\.\d+ GiB for the weights"):
        large.wake_up()
    with pytest.raises(OutOfMemoryError, match="waking up needs"):
        large.generate(many, GREEDY, use_tqdm=False)
    assert large.is_sleeping()
    del mine
    begin = time.perf_counter()
    large.wake_up()
    torch.cuda.synchronize()
    awake = time.perf_counter()
    assert afresh(large, many) == want
    print(f"wake_up took {awake - begin:.2f} s, the first tokens {time.perf_counter() - awake:.2f}")


@pytest.mark.parametrize("level", [1, 2])
def test_a_stream_goes_on_after_a_nap(wide, level):
    many = prompts(3, seed=8)
    with LLM(wide, device="cuda") as llm:
        want = afresh(llm, many)
        weights = [p.sum().item() for p in llm.engine.runner.model.parameters()]
        stream = llm.stream(many, GREEDY)
        for _ in range(7):
            next(stream)
        llm.sleep(level)
        last = {tuple(o.prompt_token_ids): o.outputs[0].token_ids for o in stream}
        assert [last[tuple(p)] for p in many] == want
        assert [p.sum().item() for p in llm.engine.runner.model.parameters()] == weights


def test_close_gives_every_byte_back(wide):
    before = free()
    for _ in range(2):
        llm = LLM(wide, device="cuda")
        llm.generate(prompts(20, longest=900), GREEDY, use_tqdm=False)
        stream = llm.stream(["a", "b"], LONG)
        next(stream)
        llm.close()
        llm.close()
        assert before - free() < 64 << 20
    llm = LLM(wide, device="cuda")
    llm.generate(prompts(3), GREEDY, use_tqdm=False)
    del llm
    assert before - free() < 64 << 20


def test_no_engine_leaves_more_than_the_one_before(wide):
    mixed = SamplingParams(seed=6, repetition_penalty=1.4, max_tokens=20, logprobs=2)

    def once() -> None:
        with LLM(wide, device="cuda") as llm:
            llm.generate(prompts(20), GREEDY, use_tqdm=False)
            llm.generate(prompts(3), mixed, use_tqdm=False)

    once()  # kernels, and what libraries keep
    before = free()
    for _ in range(2):
        once()
        assert before - free() < 1 << 20


ALONE = """
import sys, torch
from nbllm import LLM, SamplingParams
params = SamplingParams(temperature=0, max_tokens=600, ignore_eos=True)
many = [[i + 1] * 70 for i in range(16)]
with LLM(sys.argv[1], device="cuda") as llm:  # the context, with all kernels
    llm.generate(many, params, use_tqdm=False)
before = torch.cuda.mem_get_info()[0]
llm = LLM(sys.argv[1], device="cuda")
print("ready", flush=True)
sys.stdin.readline()
out = llm.generate(many, params, use_tqdm=False)
print([o.outputs[0].token_ids for o in out], flush=True)
sys.stdin.readline()  # by now the other has closed
llm.close()
torch.cuda.synchronize()
print(before - torch.cuda.mem_get_info()[0], flush=True)
"""


def test_two_kernels_on_one_gpu(wide, small_chunks):
    many = [[i + 1] * 70 for i in range(16)]
    params = SamplingParams(temperature=0, max_tokens=600, ignore_eos=True)
    run = [sys.executable, "-c", ALONE, str(wide)]
    with LLM(wide, device="cuda") as llm:
        mine = tokens(llm.generate(many, params, use_tqdm=False))
    with subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        with LLM(wide, device="cuda") as llm:
            other.stdin.write("\n")
            other.stdin.flush()
            assert tokens(llm.generate(many, params, use_tqdm=False)) == mine
            assert json.loads(other.stdout.readline()) == mine
        other.stdin.write("\n")
        other.stdin.flush()
        kept = int(other.stdout.readline())
    print(f"the other kernel keeps {kept / 2**20:.1f} MiB after close()")
    assert kept < 64 << 20


def test_a_thousand_requests_of_all_lengths(wide, small_chunks):
    """From one token to the model's limit, arriving while others finish."""
    r = random.Random(0)
    lengths = [1, LIMIT - 1, *(r.choice((r.randint(1, 64), r.randint(1, 600))) for _ in range(998))]
    many = [[r.randrange(256) for _ in range(n)] for n in lengths]
    each = [
        SamplingParams(temperature=0, max_tokens=r.randint(1, 40), ignore_eos=True) for _ in many
    ]
    with LLM(wide, device="cuda") as llm:
        few = [*random.Random(1).sample(range(1000), 25), 0, 1]
        want = {i: tokens(llm.generate([many[i]], each[i], use_tqdm=False))[0] for i in few}
        llm.reset_prefix_cache()
        requests = [job.requests[0] for job in llm._jobs(as_prompts(many), each)]
        waiting = list(requests)
        while not all(q.finished for q in requests):
            for _ in range(r.randint(0, 30)):
                if waiting:
                    llm.engine.add(waiting.pop(0))
            llm.engine.step()
        assert all(q.error is None for q in requests)
        made = [q.num_output for q in requests]
        assert made == [min(p.max_tokens, LIMIT - n) for p, n in zip(each, lengths, strict=True)]
        assert {i: requests[i].output_ids for i in few} == want
        assert llm.info().num_free_pages == llm.info().num_pages


def test_transformers_code_on_the_second_gpu(wide):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    how = {"model_impl": "transformers", "dtype": "float32"}
    with LLM(wide, device="cuda:0", **how) as llm:
        want = tokens(llm.generate(prompts(6), GREEDY, use_tqdm=False))
    with LLM(wide, device="cuda:1", **how) as llm:
        assert tokens(llm.generate(prompts(6), GREEDY, use_tqdm=False)) == want
        assert torch.cuda.current_device() == 0


def test_the_second_gpu(wide):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    many = prompts(6)
    with LLM(wide, device="cuda:0") as llm:
        want = tokens(llm.generate(many, GREEDY, use_tqdm=False))
    before, allocated = free(0), torch.cuda.memory_allocated(0)
    with LLM(wide, device="cuda:1") as llm:
        assert torch.cuda.current_device() == 0
        assert tokens(llm.generate(many, GREEDY, use_tqdm=False)) == want
        found = []
        work = threading.Thread(
            target=lambda: found.extend(tokens(llm.generate(many, MORE, use_tqdm=False)))
        )
        work.start()
        work.join()
        assert [t[:24] for t in found] == want
        llm.sleep()
        assert tokens(llm.generate(many, GREEDY, use_tqdm=False)) == want
        assert torch.cuda.current_device() == 0
        assert torch.cuda.memory_allocated(0) == allocated
        assert before - free(0) < 64 << 20
        assert str(memory_of(llm).kv.device) == "cuda:1"
