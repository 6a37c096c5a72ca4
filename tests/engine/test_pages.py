"""The prefix cache: what is found, what is shared, what is forgotten first."""

import pytest

from nbllm import LLM, SamplingParams
from nbllm.engine.pages import PagePool
from nbllm.engine.request import Request
from nbllm.errors import PromptError

GREEDY = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)


def request(tokens: list[int], pool: PagePool) -> Request:
    """A request whose tokens, but the last, have been computed into fresh pages."""
    r = Request(
        id=str(id(tokens)),
        tokens=tokens,
        num_prompt=len(tokens),
        params=GREEDY,
        limit=999,
        eos_ids=frozenset(),
        seed=0,
        text=None,
    )
    r.pages = pool.take(-(-len(tokens) // 64))
    r.num_prefilled = len(tokens) - 1
    pool.publish(r)
    return r


def test_a_prefix_is_found_page_by_page():
    pool = PagePool(16)
    a = request(list(range(200)), pool)
    assert pool.find(list(range(200)))[0] == a.pages[:3]
    assert pool.find(list(range(192)))[0] == a.pages[:2]  # one token has to be computed
    assert pool.find(list(range(64)))[0] == []
    changed = list(range(200))
    changed[70] = 0
    assert pool.find(changed)[0] == a.pages[:1]
    assert pool.find(list(range(1, 200)))[0] == []


def test_the_same_tokens_after_another_prefix_are_another_block():
    pool = PagePool(16)
    request([1] * 64 + [5] * 64 + [0], pool)
    other = request([2] * 64 + [5] * 65, pool)
    assert pool.find([2] * 64 + [5] * 65)[0] == other.pages[:2]
    assert pool.find([3] * 64 + [5] * 65)[0] == []


def test_equal_blocks_are_kept_once():
    pool = PagePool(16)
    a, b = (request([4] * 130, pool) for _ in "ab")
    assert pool.find([4] * 130)[0] == a.pages[:2]
    assert a.chain == b.chain


def test_free_pages_keep_their_block_until_they_are_needed():
    pool = PagePool(5)
    a = request([4] * 130, pool)
    pool.drop(a.pages)
    assert pool.num_free == 4
    assert pool.find([4] * 130)[0] == a.pages[:2]
    pool.take(2)  # the page never used, then the end of the sequence
    assert pool.find([4] * 130)[0] == a.pages[:2]
    pool.take(1)
    assert pool.find([4] * 130)[0] == a.pages[:1]
    pool.take(1)
    assert pool.find([4] * 130)[0] == []


def test_shared_pages_are_free_when_the_last_user_leaves():
    pool = PagePool(8)
    a = request([4] * 130, pool)
    found, _, _ = pool.find([4] * 140)
    pool.share(found)
    pool.drop(a.pages)
    assert pool.num_free == 5
    pool.drop(found)
    assert pool.num_free == 7
    assert all(count == 0 for count in pool.refs)


def test_forgotten_blocks_never_come_back():
    pool = PagePool(16)
    a = request([4] * 100, pool)
    pool.forget_blocks()
    assert pool.find([4] * 100)[0] == []
    b = request([6] * 130, pool)
    a.tokens += [6] * 100
    a.pages += pool.take(2)
    a.num_prefilled = 199
    pool.publish(a)  # its first block is not known any more: what follows must not pass for b's
    assert pool.find([6] * 64 + [6] * 64 + [1])[0] == b.pages[:2]
    assert pool.find([4] * 100 + [6] * 100)[0] == []


def test_a_second_call_reuses_the_first(llama, reference):
    prompt = [3] * 150
    with LLM(llama[0]) as llm:
        first, again = (llm.generate(prompt, GREEDY, use_tqdm=False)[0] for _ in "ab")
        edited = llm.generate([3] * 100 + [5] * 20, GREEDY, use_tqdm=False)[0]
        llm.reset_prefix_cache()
        after = llm.generate(prompt, GREEDY, use_tqdm=False)[0]
    assert [o.num_cached_tokens for o in (first, again, edited, after)] == [0, 128, 64, 0]
    assert [o.outputs[0].token_ids for o in (first, again)] == [reference(prompt, 4)] * 2
    assert edited.outputs[0].token_ids == reference([3] * 100 + [5] * 20, 4)


def test_n_completions_share_the_prompts_pages(llama):
    params = SamplingParams(n=6, seed=1, max_tokens=4, ignore_eos=True)
    with LLM(llama[0]) as llm:
        most, inner = [], llm.engine.runner.run

        def run(plan):
            pages = llm.engine.scheduler.pages
            most.append(pages.num_pages - 1 - pages.num_free)
            return inner(plan)

        llm.engine.runner.run = run
        llm.generate([3] * 200, params, use_tqdm=False)
    assert max(most) == 3 + 6  # three full pages once, and each its own last one


def test_the_same_prefix_in_one_call_is_computed_once(llama):
    many = [[3] * 130 + [i] for i in range(20)]
    with LLM(llama[0]) as llm:
        outputs = llm.generate(many, GREEDY, use_tqdm=False)
    assert sorted(o.num_cached_tokens for o in outputs) == [0] + [128] * 19


def test_turned_off(llama):
    with LLM(llama[0], enable_prefix_caching=False) as llm:
        out = [llm.generate([3] * 150, GREEDY, use_tqdm=False)[0] for _ in "ab"]
    assert [o.num_cached_tokens for o in out] == [0, 0]


def test_pages_come_back_when_a_prompt_is_refused(llm):
    with pytest.raises(PromptError):
        llm.generate([[3] * 300], GREEDY)
    assert llm.info().num_free_pages == llm.info().num_pages
