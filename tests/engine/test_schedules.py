"""Random schedules: whatever happens to the others, a request's tokens are what they are alone."""

import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import write_model

from nbllm import LLM, SamplingParams
from nbllm.prompts import as_prompts

NEW = 20
GREEDY = SamplingParams(temperature=0, max_tokens=NEW, ignore_eos=True)
SEEDED = SamplingParams(seed=7, temperature=1.1, top_p=0.95, max_tokens=NEW, ignore_eos=True)
LAST_ARRIVAL, LAST_ABORT = 20, 30


def prompts() -> list[list[int]]:
    """Prompts that share nothing, a few tokens, a page, a page and more, or everything."""
    r = random.Random(5)
    own = [[r.randrange(256) for _ in range(r.randint(1, 90))] for _ in range(4)]
    page = [7] * 64
    shared = [[1, 2], [1, 3, 4], [7] * 6, [], [9] * 30, [9] * 35 + [8]]
    return own + [page + tail for tail in shared]


POOL = prompts()


@pytest.fixture(scope="module", params=["llama", "qwen3", "opt"])
def known(request, tmp_path_factory):
    """(folder, greedy tokens by `transformers`, seeded tokens of a request alone) for POOL."""
    folder = tmp_path_factory.mktemp(request.param)
    model = write_model(request.param, folder)
    greedy = [_greedy(model, ids) for ids in POOL]
    with LLM(folder, max_num_seqs=1, enable_prefix_caching=False) as llm:
        out = [llm.generate(ids, SEEDED, use_tqdm=False)[0].outputs[0].token_ids for ids in POOL]
    return folder, greedy, out


def _greedy(model, ids: list[int]) -> list[int]:
    mask = torch.ones(1, len(ids), dtype=torch.long)
    out = model.generate(
        torch.tensor([ids]),
        attention_mask=mask,
        max_new_tokens=NEW,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return out[0, len(ids) :].tolist()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_random_schedules(known, data):
    """Arrivals at any step, aborts, short budgets, few pages, equal prefixes."""
    folder, greedy, seeded = known
    rows = data.draw(st.integers(1, 6), label="max_num_seqs")
    pages = data.draw(st.integers(3, 12), label="pages")
    many = data.draw(st.lists(st.integers(0, len(POOL) - 1), min_size=6, max_size=6), label="POOL")
    draws = data.draw(st.lists(st.booleans(), min_size=6, max_size=6), label="seeded")
    arrive = [data.draw(st.integers(0, LAST_ARRIVAL), label="arrive") for _ in many]
    aborted = data.draw(st.sets(st.integers(0, 5), max_size=3), label="aborted")
    abort = {i: data.draw(st.integers(0, LAST_ABORT), label="abort") for i in aborted}
    with LLM(
        folder,
        max_num_seqs=rows,
        max_num_batched_tokens=data.draw(st.integers(1, 100), label="max_num_batched_tokens"),
        kv_cache_memory_bytes=pages * _page_bytes(folder),
        max_model_len=128,
        enable_prefix_caching=data.draw(st.booleans(), label="enable_prefix_caching"),
    ) as llm:
        jobs = llm._jobs(
            as_prompts([POOL[i] for i in many]), [SEEDED if d else GREEDY for d in draws]
        )
        requests = [job.requests[0] for job in jobs]
        for step in range(2000):
            for i, request in enumerate(requests):
                if arrive[i] == step:
                    llm.engine.add(request)
                if abort.get(i) == step and step >= arrive[i]:
                    llm.engine.abort(request)
            llm.engine.step()
            if step > LAST_ABORT and all(r.finished for r in requests):
                break
        for i, request in enumerate(requests):
            want = (seeded if draws[i] else greedy)[many[i]]
            assert request.output_ids == want[: request.num_output]
            assert request.num_output == NEW or i in abort or request.finish_reason == "length"
            assert request.finished
        assert llm.engine.num_unfinished == 0
        assert llm.info().num_free_pages == llm.info().num_pages
        assert len(llm.engine.scheduler.rows.free) == rows


def _page_bytes(folder) -> int:
    with LLM(folder, max_num_seqs=1) as llm:
        info = llm.info()
        return info.kv_bytes // (info.num_pages + 1)
