"""Who is in the engine, and ending some of them from outside."""

import threading
import time
from itertools import count, islice

import pytest

from nbllm import LLM, BeamSearchParams, SamplingParams
from nbllm.errors import GenerationInterrupted
from nbllm.sampling_params import RequestOutputKind

LONG = SamplingParams(max_tokens=300, ignore_eos=True)
FINAL = SamplingParams(max_tokens=40, ignore_eos=True, output_kind=RequestOutputKind.FINAL_ONLY)


def in_thread(call):
    """Starts `call` in a thread; returns a function that waits for its result, or its error."""
    found = []

    def work():
        try:
            found.append(call())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()

    def result():
        thread.join(60)
        assert not thread.is_alive()
        return found[0]

    return result


def soon(llm, ready=lambda request: True):
    """The first request that is ready."""
    deadline = time.monotonic() + 60
    while not (found := [r for r in llm.requests() if ready(r)]):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return found[0]


def test_a_record_a_prompt(ascii_llm):
    stream = ascii_llm.stream(["abc", "defg"], SamplingParams(n=2, max_tokens=9, ignore_eos=True))
    list(islice(stream, 6))
    first, second = ascii_llm.requests()
    assert (first.prompt, second.prompt) == ("abc", "defg")
    assert first.request_id.removesuffix("0") == second.request_id.removesuffix("1")
    assert (first.state, first.num_prompt_tokens, first.max_tokens) == ("running", 4, 18)
    assert 2 <= first.num_tokens < 18
    stream.close()
    assert ascii_llm.requests() == []


def test_one_prompt_is_ended_and_the_others_go_on(llm):
    stream = llm.stream(["a", "b"], SamplingParams(n=2, max_tokens=30, ignore_eos=True))
    list(islice(stream, 4))
    [first, _] = llm.requests()
    assert llm.abort(first.request_id) == 2
    last = {output.request_id: output for output in stream}
    reasons = {k: {c.finish_reason for c in o.outputs} for k, o in last.items()}
    assert reasons.pop(first.request_id) == {"abort"}
    assert list(reasons.values()) == [{"length"}]
    assert len(last[first.request_id].outputs[0].token_ids) < 30


def test_a_whole_call_is_ended_with_what_had_not_begun(llm):
    result = in_thread(lambda: list(llm.stream(["ab"] * 300, FINAL, concurrency_limit=2)))
    llm.abort(soon(llm).request_id.partition("-")[0])
    done = result()
    assert 0 < len(done) < 300
    assert done[-1].aborted
    assert llm.engine.num_unfinished == 0


def test_a_call_with_a_longer_number_is_another(llm, monkeypatch):
    monkeypatch.setattr(llm.intake, "_calls", count(10**6))
    streams = [llm.stream("a", LONG)]
    monkeypatch.setattr(llm.intake, "_calls", count(10**7))
    streams.append(llm.stream("a", LONG))
    for stream in streams:
        next(stream)
    assert llm.abort(str(10**6)) == 1
    assert [r.request_id for r in llm.requests()] == ["10000000-0"]
    for stream in streams:
        stream.close()


def test_an_unknown_id_ends_nobody(llm):
    assert llm.abort("no-such") == 0


def test_what_is_added_to_a_closed_engine_ends_at_once(llama):
    llm = LLM(llama[0])
    late, left = llm.stream("a", LONG), llm.stream("b", LONG)
    next(left)
    llm.close()
    assert [o.outputs[0].finish_reason for o in late] == ["abort"]
    left.close()


def test_a_search_is_ended_with_the_best_so_far(llm):
    params = BeamSearchParams(beam_width=4, max_tokens=252, ignore_eos=True)
    result = in_thread(lambda: llm.beam_search(["abc"], params))
    found = soon(llm, lambda r: r.num_tokens > 0)
    assert (found.state, found.max_tokens) == ("searching", 252)
    assert llm.abort(found.request_id) == 1
    [output] = result()
    assert output.aborted
    assert 0 < len(output.sequences[0].generated_token_ids) < 252
    assert llm.info().num_free_pages == llm.info().num_pages


def test_an_ended_score_is_no_score(llm):
    result = in_thread(lambda: llm.score(["abcd" * 50] * 300, use_tqdm=False))
    llm.abort(soon(llm).request_id.partition("-")[0])
    assert isinstance(result(), GenerationInterrupted)


def test_two_threads_may_score_at_once(llm):
    texts = [["ab" * 100] * 20, ["cd" * 100] * 20]
    alone = [[s.logprobs for s in llm.score(t, use_tqdm=False)] for t in texts]
    results = [in_thread(lambda t=t: llm.score(t, use_tqdm=False)) for t in texts]
    for result, expected in zip(results, alone, strict=True):
        for score, logprobs in zip(result(), expected, strict=True):
            assert score.logprobs == pytest.approx(logprobs, abs=1e-4)


def test_the_device_says_how_much_memory_it_has(llm):
    memory = llm.info().device_memory
    assert 0 < memory["free"] < memory["total"]
