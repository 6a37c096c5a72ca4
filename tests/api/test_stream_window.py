"""LLM.stream over long lists: a window of prompts at a time, the same outputs; chat options."""

import asyncio
import gc
import sys

import pytest

from nbllm import BeamSearchParams, SamplingParams
from nbllm.engine.job import Job
from nbllm.engine.waiting import Owned
from nbllm.errors import GenerationInterrupted, ParamError, PromptError
from nbllm.sampling_params import RequestOutputKind

PROMPTS = [f"{i} {'a' * (i % 7)}" for i in range(40)]


def params(**more):
    return [SamplingParams(max_tokens=1 + i % 9, seed=i, **more) for i in range(len(PROMPTS))]


def by_place(outputs):
    return sorted(outputs, key=lambda o: int(o.request_id.rpartition("-")[2]))


@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("kind", [RequestOutputKind.FINAL_ONLY, RequestOutputKind.CUMULATIVE])
def test_the_same_outputs_each_once(llm, limit, kind):
    whole = llm.generate(PROMPTS, params(), use_tqdm=False)
    found = [
        o
        for o in llm.stream(PROMPTS, params(output_kind=kind), concurrency_limit=limit)
        if o.finished
    ]
    assert [o.outputs[0].token_ids for o in by_place(found)] == [
        o.outputs[0].token_ids for o in whole
    ]
    assert llm.engine.num_unfinished == 0


def test_only_the_window_exists(llm):
    gc.collect()
    before, seen = jobs(), 0
    for _ in llm.stream(PROMPTS, params(), concurrency_limit=5):
        seen = max(seen, jobs() - before)
    assert 0 < seen <= 6


def jobs():
    return sum(type(o) is Job for o in gc.get_objects())


def test_a_window_for_await(llm):
    """Every token of what is in flight is told, and no more than the window is in flight."""
    most = reports = 0

    async def follow():
        nonlocal most, reports
        found = []
        async for output in llm.astream(PROMPTS, params(), concurrency_limit=5):
            most, reports = max(most, llm.engine.num_unfinished), reports + 1
            if output.finished:
                found.append(output)
        return found

    found = by_place(asyncio.run(follow()))
    whole = llm.generate(PROMPTS, params(), use_tqdm=False)
    assert [o.outputs[0].token_ids for o in found] == [o.outputs[0].token_ids for o in whole]
    assert most <= 5
    assert reports > len(PROMPTS)
    assert llm.engine.num_unfinished == 0


def test_the_oldest_is_reported_meanwhile(llm, monkeypatch):
    monkeypatch.setattr("nbllm.engine.waiting.BEAT", 0.0)
    outputs = list(llm.stream(PROMPTS, params(), concurrency_limit=8))
    assert any(not o.finished for o in outputs)
    final = list(
        llm.stream(PROMPTS, params(output_kind=RequestOutputKind.FINAL_ONLY), concurrency_limit=8)
    )
    assert all(o.finished for o in final)
    assert len(final) == len(PROMPTS)


def test_an_interval_between_reports(llm):
    def run(**more):
        each = [
            SamplingParams(max_tokens=20 + i, seed=i, ignore_eos=True, **more) for i in range(4)
        ]
        return list(llm.stream(PROMPTS[:4], each, interval=interval))

    def whole(outputs):
        """Each prompt's text, of what was new at a time."""
        place = lambda o: o.request_id.rpartition("-")[2]  # noqa: E731
        return ["".join(o.outputs[0].text for o in outputs if place(o) == i) for i in "0123"]

    interval = 0
    every = run()
    assert len(every) > 80
    interval = 60
    few = run()
    # when one has ended all are reported
    assert len(few) <= 4 + 3 + 2 + 1
    assert [o.finished for o in few].count(True) == 4
    ended = [o.outputs[0].text for o in by_place(o for o in every if o.finished)]
    assert [o.outputs[0].text for o in by_place(o for o in few if o.finished)] == ended
    assert whole(run(output_kind=RequestOutputKind.DELTA)) == ended
    with pytest.raises(ParamError, match="interval must be a number of seconds"):
        llm.stream(PROMPTS, interval=-1)


def test_a_wrong_prompt_is_found_in_its_turn(llm):
    stream = llm.stream(["a", "b", ""], SamplingParams(max_tokens=2), concurrency_limit=1)
    assert [next(stream).outputs[0].finish_reason for _ in "ab"] == ["length"] * 2
    with pytest.raises(PromptError, match="empty"):
        next(stream)
    assert llm.engine.num_unfinished == 0


def test_an_interrupt_has_what_was_under_way(llm):
    stream = llm.stream(
        PROMPTS, SamplingParams(max_tokens=30, ignore_eos=True), concurrency_limit=6
    )
    next(stream)
    with pytest.raises(GenerationInterrupted) as caught:
        stream.throw(KeyboardInterrupt())
    assert 0 < len(caught.value.outputs) <= 6
    assert llm.engine.num_unfinished == 0


@pytest.mark.parametrize("limit", [0, True, "2"])
def test_a_wrong_limit(llm, limit):
    with pytest.raises(ParamError, match="concurrency_limit must be an integer ≥ 1"):
        llm.stream("a", concurrency_limit=limit)


def test_chat_options(llm):
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "well"}]
    one = SamplingParams(max_tokens=2, temperature=0)
    options = {"chat_template": template, "continue_final_message": True}
    [*_, streamed] = llm.stream(talk, one, **options)
    [whole] = llm.chat(talk, one, use_tqdm=False, add_generation_prompt=False, **options)
    assert streamed.prompt == whole.prompt == "<user>hi<assistant>well"
    assert streamed.outputs[0].token_ids == whole.outputs[0].token_ids
    [plain] = llm.preprocess_chat(talk[:1], chat_template=template)
    assert plain["prompt"] == "<user>hi<a>"
    assert plain["prompt_token_ids"] == llm.tokenizer.encode(
        "<user>hi<a>", add_special_tokens=False
    )


class SecondInterrupt:
    """Raises KeyboardInterrupt where the clean-up is entered, once: a second signal lands there."""

    def __init__(self):
        self.landed = False

    def __call__(self, frame, event, arg):
        if frame.f_code is Owned.__exit__.__code__ and not self.landed:
            self.landed = True
            raise KeyboardInterrupt


@pytest.mark.parametrize("options", [{}, {"concurrency_limit": 6}])
def test_a_second_interrupt_as_the_clean_up_begins(llm, options):
    stream = llm.stream(PROMPTS, SamplingParams(max_tokens=30, ignore_eos=True), **options)
    next(stream)
    second = SecondInterrupt()
    sys.settrace(second)
    try:
        with pytest.raises(GenerationInterrupted) as caught:
            stream.throw(KeyboardInterrupt())
    finally:
        sys.settrace(None)
    assert second.landed
    assert caught.value.outputs
    assert llm.engine.num_unfinished == 0
    assert llm.info().num_free_pages == llm.info().num_pages


@pytest.mark.parametrize("at", [3, 40])
def test_an_interrupt_while_outputs_are_made_loses_nothing(llm, monkeypatch, at):
    output, count = Job.output, 0

    def interrupted(self):
        nonlocal count
        count += 1
        if count == at:
            raise KeyboardInterrupt
        return output(self)

    monkeypatch.setattr(Job, "output", interrupted)
    with pytest.raises(GenerationInterrupted, match=r"\d+ of 40 prompts finished") as caught:
        llm.generate(PROMPTS, params(), use_tqdm=False)
    made = [o.outputs[0] for o in caught.value.outputs]
    done = [m for m in made if m.finish_reason != "abort"]
    assert len(made) == 40
    assert str(caught.value).startswith(f"interrupted: {len(done)} of 40")
    assert at <= len(done) < 40 if at < 40 else len(done) == 40
    assert all(m.token_ids for m in done)


def test_a_bar_of_ones_own(llm):
    from tqdm import tqdm

    bars = []

    def make(**options):
        bars.append(tqdm(**options, disable=True))
        bars[-1].update = counts.append
        return bars[-1]

    counts = []
    llm.generate(PROMPTS, params(), use_tqdm=make)
    assert (len(bars), bars[0].total, sum(counts)) == (1, 40, 40)
    llm.beam_search(["a"], BeamSearchParams(beam_width=2, max_tokens=2), use_tqdm=make)
    llm.score(["abc"], use_tqdm=make)
    assert [bar.total for bar in bars] == [40, 1, 1]


def test_a_wrong_prompt_of_several_is_named(llm):
    with pytest.raises(PromptError, match=r"^prompt 1: a prompt is empty"):
        llm.generate(["a", ""], use_tqdm=False)
    with pytest.raises(PromptError, match=r"^a prompt is empty"):
        llm.generate("", use_tqdm=False)
