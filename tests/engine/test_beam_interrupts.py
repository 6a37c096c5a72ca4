"""An interrupt at any line of a search: it goes on as if nothing had been, and no page is lost."""

import pytest
from interrupting import InterruptAtLine

from nbllm import BeamSearchParams, SamplingParams
from nbllm.engine import beam
from nbllm.errors import GenerationInterrupted
from nbllm.prompts import as_prompts

GREEDY = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True)
PROMPTS = [[i + 1] * (60 + 3 * i) for i in range(3)]
PARAMS = BeamSearchParams(beam_width=3, max_tokens=4, stop="~~")


def tokens(outputs) -> list[list[list[int]]]:
    return [[s.generated_token_ids for s in o.sequences] for o in outputs]


def test_at_every_line_of_a_search(llm, reference):
    want = tokens(llm.beam_search(PROMPTS, PARAMS))
    llm.reset_prefix_cache()
    with InterruptAtLine(-1) as count:
        llm.beam_search(PROMPTS, PARAMS)
    total = -1 - count.left
    assert total > 500
    for at in range(1, total, 7):
        llm.reset_prefix_cache()
        jobs = llm._searches(as_prompts(PROMPTS), PARAMS)
        beside = llm._jobs(as_prompts([9] * 12), GREEDY)
        requests = [r for job in [*jobs, *beside] for r in job.requests]
        for r in requests:
            llm.engine.add(r)
        interrupted = False
        while not all(r.finished for r in requests):
            try:
                if interrupted:
                    llm.engine.step()
                else:
                    with InterruptAtLine(at):
                        while not all(r.finished for r in requests):
                            llm.engine.step()
            except KeyboardInterrupt:
                interrupted = True
        llm.engine.settle()
        assert tokens([job.output() for job in jobs]) == want, f"line {at}"
        assert beside[0].output().outputs[0].token_ids == reference([9] * 12, 6)
        assert llm.info().num_free_pages == llm.info().num_pages, f"line {at}"
        assert llm.engine.num_unfinished == 0
        llm.engine.step()
        assert not llm.engine.waves.running


@pytest.mark.parametrize("at", [50, 400, 900, 1500, 4000])
def test_an_interrupted_search_keeps_the_best_so_far(llm, at):
    long = BeamSearchParams(beam_width=3, max_tokens=100, ignore_eos=True)
    want = llm.beam_search(PROMPTS, long)
    with pytest.raises(GenerationInterrupted) as caught, InterruptAtLine(at):
        llm.beam_search(PROMPTS, long)
    assert len(caught.value.outputs) == 3
    for prompt, output, whole in zip(PROMPTS, caught.value.outputs, want, strict=True):
        assert output.prompt_token_ids == prompt
        assert (output.finished, output.aborted) == (False, True)
        best = output.sequences[0]
        assert best.finish_reason == "abort"
        assert len(best.generated_token_ids) < 100
        assert best.tokens == prompt + best.generated_token_ids
        count = len(best.generated_token_ids)
        live = whole.trace_frame().query("step == @count and state == 'live'")
        assert output.to_frame().cumulative_logprob.tolist() == pytest.approx(
            live.cumulative_logprob.tolist() if count else [0.0]
        )
    assert llm.engine.num_unfinished == 0
    assert llm.info().num_free_pages == llm.info().num_pages


def test_an_abort_leaves_the_others_of_the_wave(llm):
    want = tokens(llm.beam_search(PROMPTS, PARAMS))
    jobs = llm._searches(as_prompts(PROMPTS), PARAMS)
    for job in jobs:
        llm.engine.add(job.request)
    while jobs[0].num_steps < 2:
        llm.engine.step()
    assert [w.requests for w in llm.engine.waves.running] == [[j.request for j in jobs]]
    llm.engine.abort(jobs[1].request)
    llm.engine.settle()
    # its pages go to somebody else at once
    other = llm.beam_search([[200] * 100], PARAMS)
    while not all(job.finished for job in jobs):
        llm.engine.step()
    outputs = [job.output() for job in jobs]
    assert tokens([outputs[0], outputs[2]]) == [want[0], want[2]]
    assert {s.finish_reason for s in outputs[1].sequences} == {"abort"}
    assert {len(s.generated_token_ids) for s in outputs[1].sequences} == {2}
    assert tokens(llm.beam_search([[200] * 100], PARAMS)) == tokens(other)
    assert llm.info().num_free_pages == llm.info().num_pages


def test_generate_keeps_the_best_so_far_too(llm):
    params = BeamSearchParams(beam_width=2, max_tokens=100, ignore_eos=True)
    with pytest.raises(GenerationInterrupted) as caught, InterruptAtLine(1500):
        llm.generate([1, 2, 3], params, use_tqdm=False)
    [output] = caught.value.outputs
    assert [c.finish_reason for c in output.outputs] == ["abort"] * 2
    assert output.aborted
    assert 0 < len(output.outputs[0].token_ids) < 100


def test_an_error_ends_the_search_and_leaves_nothing(llm, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(beam, "choose", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            llm.beam_search(PROMPTS, PARAMS)
    assert llm.engine.num_unfinished == 0
    assert llm.info().num_free_pages == llm.info().num_pages
    assert len(llm.beam_search(PROMPTS, PARAMS)) == 3
