"""A cache that grows and shrinks, on a GPU that is made up: it is full of NaN."""

import ctypes
import random

import pytest
import torch
from fake_memory import FakeMapper
from interrupting import InterruptAtLine
from tiny_models import write_model

from nbllm import LLM, BeamSearchParams, SamplingParams, llm
from nbllm.engine import build, cuda_memory, kv_memory
from nbllm.engine.kv_memory import MappedMemory, chunk_pages
from nbllm.engine.pages import PagePool
from nbllm.errors import OutOfMemoryError
from nbllm.prompts import as_prompts

PAGE = 24576
"""Bytes of a page of the tiny Llama."""
GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
LONG = SamplingParams(temperature=0, max_tokens=150, ignore_eos=True)


@pytest.fixture(autouse=True)
def _on_a_cpu(monkeypatch):
    """The GPU is made up, whatever --device says."""
    monkeypatch.setattr(llm, "pick_device", lambda device: torch.device("cpu"))


@pytest.fixture
def card(monkeypatch):
    """A `FakeMapper` under every `LLM`, with chunks of two pages."""
    for name in ("CHUNK", "SMALL"):
        monkeypatch.setattr(kv_memory, name, 2 * PAGE)
    fake = FakeMapper()
    monkeypatch.setattr(build, "mapper", lambda _: fake)
    return fake


@pytest.fixture(params=["as on a CPU", "as on a GPU"])
def runner(request, monkeypatch):
    """The runners of both devices."""
    gpu = request.param == "as on a GPU"
    monkeypatch.setattr(build, "has_kernels", lambda kv: gpu)


def prompts(count: int, seed: int = 0, longest: int = 90) -> list[list[int]]:
    r = random.Random(seed)
    return [[r.randrange(256) for _ in range(r.randint(1, longest))] for _ in range(count)]


def tokens(outputs) -> list[list[int]]:
    return [o.outputs[0].token_ids for o in outputs]


def metric(llm, name: str) -> float:
    return next(m.value for m in llm.get_metrics() if m.name == f"nbllm:{name}")


def consistent(llm, card: FakeMapper) -> bool:
    """Whether what the engine takes for mapped is what the GPU has mapped."""
    memory = llm.engine.scheduler.pages.memory
    there = sorted(card.mapped.values())
    return memory.num_bytes == sum(there) and sum(memory.mapped) == len(there)


@pytest.mark.parametrize("size", [24576, 8 << 20, 7 << 20, 2304 << 10, 432 << 10, 1 << 10])
def test_a_chunk_is_whole_pages_in_whole_granules(size):
    pages = chunk_pages(size, 2 << 20)
    assert pages * size % (2 << 20) == 0
    assert pages * size <= 256 << 20
    assert pages * size >= 16 << 20


def test_structures_have_the_drivers_sizes():
    assert ctypes.sizeof(cuda_memory._Properties) == 32
    assert ctypes.sizeof(cuda_memory._Access) == 12


def test_it_grows_as_sequences_do(card, runner, llama, reference):
    many = prompts(8)
    with LLM(llama[0]) as llm:
        assert metric(llm, "kv_cache_bytes_mapped") == card.used == 2 * PAGE
        assert tokens(llm.generate(many, LONG, use_tqdm=False)) == [reference(p, 150) for p in many]
        assert metric(llm, "kv_cache_bytes_mapped") == card.used >= 8 * 3 * PAGE
        assert metric(llm, "kv_cache_bytes_bound") == 1025 * PAGE
        assert consistent(llm, card)
        assert llm.info().num_free_pages == llm.info().num_pages == 1024
    assert not card.mapped
    assert not card.reserved


def test_chunks_go_back_when_others_need_memory_and_come_again(card, runner, llama, reference):
    many = prompts(8, seed=3)
    want = [reference(p, 150) for p in many]
    with LLM(llama[0]) as llm:
        assert tokens(llm.generate(many, LONG, use_tqdm=False)) == want
        card.others = int(0.95 * card.total)
        llm.generate([5], GREEDY, use_tqdm=False)
        assert card.used == 2 * PAGE
        assert llm.info().num_free_pages == llm.info().num_pages
        card.others = 0
        again = llm.generate(many, LONG, use_tqdm=False)
        assert tokens(again) == want
        assert [o.num_cached_tokens for o in again] == [0] * 8
        assert consistent(llm, card)


def test_old_prefixes_are_worth_new_memory_only_where_there_is_plenty(card, llama):
    def run(llm) -> int:
        for i in range(12):
            llm.generate([[i + 1] * 130], GREEDY, use_tqdm=False)
        return card.used

    with LLM(llama[0]) as llm:
        assert run(llm) == 26 * PAGE  # two blocks of each, and what the last one needs
    card.others = int(0.6 * card.total)
    with LLM(llama[0]) as llm:
        assert run(llm) == 4 * PAGE


@pytest.mark.parametrize("allowed", [2, 3, 5])
def test_without_memory_the_youngest_wait(card, runner, llama, reference, allowed):
    card.refuse = lambda call: call > allowed
    many = prompts(7, seed=4, longest=70)
    with LLM(llama[0]) as llm:
        assert tokens(llm.generate(many, GREEDY, use_tqdm=False)) == [
            reference(p, 24) for p in many
        ]
        assert card.used == allowed * 2 * PAGE
        assert llm.info().num_free_pages == llm.info().num_pages


def test_what_can_never_fit_is_one_error(card, llama, reference):
    card.refuse = lambda call: call > 1
    with LLM(llama[0]) as llm:
        with pytest.raises(
            OutOfMemoryError, match=r"101 tokens need .*MiB of KV cache; .* free"
        ) as e:
            llm.generate([[1] * 101, [2] * 5], GREEDY, use_tqdm=False)
        assert "gpu_memory_utilization" in str(e.value)
        assert llm.engine.num_unfinished == 0
        assert tokens(llm.generate([[2] * 5], GREEDY, use_tqdm=False)) == [reference([2] * 5, 24)]
        card.refuse = lambda call: False
        assert tokens(llm.generate([[1] * 101], GREEDY, use_tqdm=False)) == [
            reference([1] * 101, 24)
        ]


def test_memory_that_disappears_while_a_sequence_grows(card, llama):
    with LLM(llama[0]) as llm:
        stream = llm.stream([[1] * 60], LONG)
        next(stream)
        card.others = card.total - card.used
        with pytest.raises(OutOfMemoryError, match="tokens need"):
            list(stream)
        assert llm.info().num_free_pages == llm.info().num_pages


def test_what_torch_keeps_of_deleted_tensors_is_memory_too(card, llama, reference):
    with LLM(llama[0]) as llm:
        card.others = card.unused = card.total - card.used
        assert tokens(llm.generate([[1] * 200], GREEDY, use_tqdm=False)) == [
            reference([1] * 200, 24)
        ]
        assert (card.unused, llm.engine.asleep) == (0, False)
        card.others = card.unused = card.total - card.used
        llm.sleep()
        assert tokens(llm.generate([[1] * 200], GREEDY, use_tqdm=False)) == [
            reference([1] * 200, 24)
        ]
        card.others = card.unused = card.total - card.used
    with LLM(llama[0]) as llm:
        assert llm.max_model_len == 256


def test_a_search_takes_what_it_needs(card, runner, llama, llm):
    params = BeamSearchParams(beam_width=6, max_tokens=60)
    many = [{"prompt_token_ids": p} for p in prompts(3)]
    want = [o.sequences[0].tokens for o in llm.beam_search(many, params)]
    with LLM(llama[0]) as mine:
        assert [o.sequences[0].tokens for o in mine.beam_search(many, params)] == want
        card.refuse = lambda call: True
        mine.sleep()  # and there is nothing to wake up with
        with pytest.raises(OutOfMemoryError, match="to wake up with"):
            mine.beam_search(many, params)
        card.refuse = lambda call: sum(card.mapped.values()) > 0
        with pytest.raises(OutOfMemoryError, match="tokens need"):
            mine.beam_search(many, params)


def test_a_map_that_fails_is_undone(card, llama, reference):
    card.fail = lambda call: call == 3
    with LLM(llama[0]) as llm:
        with pytest.raises(RuntimeError, match="no access"):
            llm.generate(prompts(8), LONG, use_tqdm=False)
        assert consistent(llm, card)
        assert tokens(llm.generate([[3] * 150], GREEDY, use_tqdm=False)) == [
            reference([3] * 150, 24)
        ]
    assert not card.mapped


def test_bounds(card, llama):
    with LLM(llama[0], kv_cache_memory_bytes=5 * PAGE, max_model_len=128) as llm:
        assert (llm.info().num_pages, metric(llm, "kv_cache_bytes_bound")) == (5, 6 * PAGE)
        llm.generate(prompts(9), GREEDY, use_tqdm=False)
        assert card.used <= 6 * PAGE
    card.others = card.total - 40 * PAGE
    with pytest.raises(OutOfMemoryError, match=r"room for 0 tokens.*are free"):
        LLM(llama[0])
    with LLM(llama[0], gpu_memory_utilization=1.0) as llm:
        assert llm.max_model_len == 256
    card.others = card.total
    with pytest.raises(OutOfMemoryError, match="to begin with"):
        LLM(llama[0], kv_cache_memory_bytes=9 * PAGE)
    assert not card.reserved


def test_an_engine_that_is_forgotten_gives_its_memory_back(card, llama):
    llm = LLM(llama[0])
    llm.generate([1, 2], GREEDY, use_tqdm=False)
    assert card.mapped
    del llm
    assert not card.reserved


def test_an_interrupt_anywhere_loses_no_memory(card, runner, llama, reference):
    """Growing, shrinking, falling asleep and waking up, at many lines of them."""
    many, r = prompts(4, seed=9), random.Random(1)
    want = [reference(p, 24) for p in many]
    with LLM(llama[0]) as llm:
        for at in (r.randrange(1, 2500) for _ in range(30)):
            card.others = 0
            requests = [job.requests[0] for job in llm._jobs(as_prompts(many), [GREEDY] * 4)]
            for request in requests:
                llm.engine.add(request)
            try:
                with InterruptAtLine(at):
                    for _ in range(4):
                        llm.engine.step()
                    llm.sleep()
                    while not all(q.finished for q in requests):
                        llm.engine.step()
                    card.others = card.total - card.used
                    llm.generate([1], GREEDY, use_tqdm=False)
            except KeyboardInterrupt:
                pass
            card.others = 0
            while not all(q.finished for q in requests):
                llm.engine.step()
            llm.engine.settle()
            assert [q.output_ids for q in requests] == want, f"line {at}"
            assert llm.info().num_free_pages == llm.info().num_pages, f"line {at}"
            card.others = card.total - card.used
            llm.engine.scheduler.pages.shrink()
            assert card.used == 2 * PAGE, f"line {at}"
            assert consistent(llm, card), f"line {at}"
    assert not card.reserved


def test_an_interrupted_close_is_finished_by_the_next(card, llama):
    for at in range(1, 120, 3):
        llm = LLM(llama[0])
        llm.generate([[1] * 200], GREEDY, use_tqdm=False)
        try:
            with InterruptAtLine(at):
                llm.close()
        except KeyboardInterrupt:
            pass
        llm.close()
        assert not card.reserved, f"line {at}"


@pytest.mark.parametrize("num_pages", [1, 5, 9, 85, 86, 257, 1025])
@pytest.mark.parametrize("granularity", [4096, 1 << 16, 2 << 20])
def test_any_number_of_pages_lies_in_whole_granules(num_pages, granularity, monkeypatch):
    for name in ("CHUNK", "SMALL"):
        monkeypatch.setattr(kv_memory, name, 2 << 20)
    fake = FakeMapper(granularity=granularity)
    memory = MappedMemory(fake, num_pages, (6144,), torch.float32, 0.0)
    for chunk in range(1, len(memory.mapped)):
        assert memory.map(chunk)
    assert memory.kv.shape == (num_pages, 6144)
    assert not memory.kv.any()
    assert fake.used == memory.num_bytes == memory.bound >= num_pages * PAGE
    assert memory.bound - num_pages * PAGE < granularity
    pool = PagePool(num_pages, memory=memory)
    assert sorted(pool.take(num_pages - 1)) == list(range(1, num_pages))
    memory.close()
    assert not fake.reserved


def test_pages_of_chunks_that_are_not_there_are_never_given():
    fake = FakeMapper()
    memory = MappedMemory(fake, 10, (1024,), torch.float32, 0.0)
    pool = PagePool(10, memory=memory)
    assert memory.mapped == [True]  # a bound below a chunk is one chunk
    assert pool.room(9)
    assert sorted(pool.take(9)) == list(range(1, 10))
    assert not pool.room(1)
    memory.close()


def test_a_long_context_is_not_bounded_by_a_default(card, tmp_path):
    write_model("llama", tmp_path, max_position_embeddings=4096)
    with LLM(tmp_path) as llm:
        assert llm.max_model_len == 4096
        [out] = llm.generate([[1] * 4000], GREEDY, use_tqdm=False)
        assert len(out.outputs[0].token_ids) == 24
