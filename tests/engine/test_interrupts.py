"""An interrupt may land anywhere: afterwards nothing is lost, nothing is left behind."""

import threading

import pytest
from interrupting import FILES, InterruptAtLine

from nbllm import SamplingParams
from nbllm.engine.turns import Turns
from nbllm.errors import GenerationInterrupted
from nbllm.prompts import as_prompts

GREEDY = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True)
COUNTED = SamplingParams(seed=2, max_tokens=6, frequency_penalty=2, repetition_penalty=1.4)
SCORED = SamplingParams(temperature=0, max_tokens=6, logit_bias={5: 2.0}, prompt_logprobs=1)
PARAMS = [GREEDY, COUNTED, SCORED]


def lines_of_a_run(llm, many) -> int:
    with InterruptAtLine(-1) as count:
        llm.generate(many, PARAMS, use_tqdm=False)
    return -1 - count.left


def check_interrupts(llm, every: int) -> None:
    """Interrupt at every n-th line of a run; afterwards the tokens are right and no page is lost."""
    many = [[i + 1] * (60 + 3 * i) for i in range(3)]
    want = [o.outputs[0].token_ids for o in llm.generate(many, PARAMS, use_tqdm=False)]
    total = lines_of_a_run(llm, many)
    assert total > 300
    for at in range(1, total, every):
        jobs = llm._jobs(as_prompts(many), PARAMS)
        requests = [job.requests[0] for job in jobs]
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
        llm.engine.settle()  # the interrupt may have hit the very last line
        assert [r.output_ids for r in requests] == want, f"line {at}"
        assert len(requests[2].prompt_logprobs) == len(many[2]) - 1, f"line {at}"
        assert llm.info().num_free_pages == llm.info().num_pages, f"line {at}"
        assert llm.engine.num_unfinished == 0


def test_at_many_lines_of_a_step(llm):
    check_interrupts(llm, every=9)


@pytest.mark.slow
def test_at_every_line_of_a_step(llm):
    check_interrupts(llm, every=1)


def test_an_interrupted_generate_keeps_what_it_made(llm, reference):
    many = [[7] * 20, [9] * 30]
    long = SamplingParams(temperature=0, max_tokens=100, ignore_eos=True)
    with pytest.raises(GenerationInterrupted) as caught, InterruptAtLine(1500):
        llm.generate(many, long, use_tqdm=False)
    outputs = caught.value.outputs
    assert [o.prompt_token_ids for o in outputs] == many
    for prompt, output in zip(many, outputs, strict=True):
        made = output.outputs[0]
        assert made.finish_reason == "abort"
        assert 0 < len(made.token_ids) < 100
        assert made.token_ids == reference(prompt, len(made.token_ids))
    assert llm.engine.num_unfinished == 0
    assert llm.info().num_free_pages == llm.info().num_pages
    assert not isinstance(caught.value, Exception)
    assert caught.value._render_traceback_() == [
        "GenerationInterrupted: interrupted: 0 of 2 prompts finished, the rest is partial"
    ]


def test_no_frame_of_the_model_survives(llm):
    with pytest.raises(GenerationInterrupted) as caught, InterruptAtLine(1500):
        llm.generate([7] * 20, SamplingParams(max_tokens=100, ignore_eos=True), use_tqdm=False)
    error, files = caught.value, set()
    while error is not None:
        frame = error.__traceback__
        while frame is not None:
            files.add(frame.tb_frame.f_code.co_filename)
            frame = frame.tb_next
        error = error.__context__
    assert not files & FILES


def test_closing_a_stream_aborts(llm):
    stream = llm.stream(["a", "b"], SamplingParams(max_tokens=100, ignore_eos=True))
    next(stream)
    assert llm.engine.num_unfinished == 2
    stream.close()
    assert llm.engine.num_unfinished == 0
    assert llm.info().num_free_pages == llm.info().num_pages


def test_an_error_in_a_step_leaves_nothing(llm, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(llm.engine.runner, "run", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            llm.generate("a", GREEDY, use_tqdm=False)
    assert llm.engine.num_unfinished == 0
    assert len(llm.generate("a", GREEDY, use_tqdm=False)[0].outputs[0].token_ids) == 6


def test_turns_are_taken_in_order():
    turns, order, ready = Turns(), [], []

    def work(i):
        ready.append(i)
        with turns:
            order.append(i)

    with turns:
        threads = []
        for i in range(8):
            threads.append(threading.Thread(target=work, args=(i,)))
            threads[-1].start()
            while len(turns._queue) != i + 1:
                pass
    for t in threads:
        t.join(5)
    assert order == list(range(8))


def test_two_threads_share_a_step(llm, reference):
    many = [[i + 1] * 12 for i in range(8)]
    results: dict[int, list[int]] = {}

    def work(i):
        out = llm.generate(many[i], GREEDY, use_tqdm=False)
        results[i] = out[0].outputs[0].token_ids

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert results == {i: reference(p, 6) for i, p in enumerate(many)}


def test_a_first_token_that_needs_another_page_outlives_an_interrupt(llm, reference, monkeypatch):
    """The prompt fills its page; with its first token it has to be computed again, and is longer."""
    prompt, scheduler = [5] * 64, llm.engine.scheduler

    def interrupted(request):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(scheduler, "decode", interrupted)
    [job] = llm._jobs(as_prompts([prompt]), [GREEDY])
    [request] = job.requests
    llm.engine.add(request)
    with pytest.raises(KeyboardInterrupt):
        llm.engine.step()
    assert (request.num_output, request.decoding) == (1, False)
    while not request.finished:
        llm.engine.step()
    assert request.error is None
    assert request.output_ids == reference(prompt, GREEDY.max_tokens)
    assert llm.info().num_free_pages == llm.info().num_pages
