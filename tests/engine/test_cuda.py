"""The runner of a GPU against the CPU's: the same tokens, whatever else happens.

Everywhere its twin runs these tests, which is the same code over references; on a GPU itself.
`pytest --device cuda` runs all other tests there too.
"""

import gc
import math
import random
import threading
import time
from contextlib import nullcontext, suppress

import numpy as np
import pytest
import torch
from interrupting import InterruptAtLine
from random_prompts import prompts, tokens
from tiny_models import write_model

from nbllm import LLM, BeamSearchParams, SamplingParams
from nbllm.engine.driver import wait_for
from nbllm.engine.graphs import Graphs, size_of
from nbllm.prompts import as_prompts

LONG = 4096


def test_sizes_of_steps():
    assert [size_of(n) for n in (1, 3, 9, 33, 129, 257, 512, 513)] == [
        *(1, 4, 16, 48, 160, 320, 512, 640)
    ]


MIXED = [
    SamplingParams(temperature=0, max_tokens=70, ignore_eos=True),
    SamplingParams(seed=4, max_tokens=3),
    SamplingParams(seed=5, top_p=0.8, max_tokens=40, ignore_eos=True),
    SamplingParams(seed=6, repetition_penalty=1.4, max_tokens=20, logprobs=2),
    SamplingParams(seed=7, top_k=5, min_p=0.05, max_tokens=64),
    SamplingParams(seed=8, min_tokens=9, max_tokens=30, stop_token_ids=[5, 70]),
    SamplingParams(temperature=0, max_tokens=30, prompt_logprobs=1, ignore_eos=True),
]


@pytest.mark.parametrize("rows", [3, 40])
def test_any_company_samples_what_a_cpu_samples(on_cpu, llama, open_llm, rows):
    many = prompts(21)
    each = [MIXED[i % len(MIXED)] for i in range(len(many))]
    want = on_cpu.generate(many, each, use_tqdm=False)
    with open_llm(llama[0], max_num_seqs=rows, max_num_batched_tokens=100) as llm:
        for _ in range(2):  # the second time with prefixes and graphs at hand
            found = llm.generate(many, each, use_tqdm=False)
            assert tokens(found) == tokens(want)
            for mine, other in zip(found, want, strict=True):
                a, b = mine.outputs[0], other.outputs[0]
                assert a.cumulative_logprob == pytest.approx(b.cumulative_logprob, abs=2e-3)
                assert (a.finish_reason, a.stop_reason) == (b.finish_reason, b.stop_reason)
        assert llm.info().num_free_pages == llm.info().num_pages


def test_steps_run_ahead(llama, open_llm):
    with open_llm(llama[0]) as llm:
        runner, ahead = llm.engine.runner, []
        inner = runner.run

        def run(plan):
            found = inner(plan)
            ahead.append(len(runner._launched))
            return found

        runner.run = run
        plain = SamplingParams(temperature=0, max_tokens=10, ignore_eos=True)
        list(llm.stream([[1, 2], [3]], plain))
        # nobody waits for the first capture; the last token is nobody's input
        assert ahead == [0, 4, 4, 4, 4, 4, 3, 2, 1, 0]
        ahead.clear()
        list(llm.stream([[1, 2], [3]], plain))
        assert ahead == [1, 4, 4, 4, 4, 4, 3, 2, 1, 0]
        ahead.clear()
        llm.generate([[1, 2], [3]], plain, use_tqdm=False)
        assert ahead == [1, 1, 0]  # the prompts, eight tokens at once, the last one
        ahead.clear()
        special = SamplingParams(logits_processors=[lambda ids, x: x], max_tokens=10)
        llm.generate([[1, 2], [3]], [plain, special], use_tqdm=False)
        assert not any(ahead)


def test_few_rows_get_some_tokens_at_once_while_nobody_looks(llama, open_llm, monkeypatch):
    params = SamplingParams(temperature=0, max_tokens=60, ignore_eos=True)
    with open_llm(llama[0]) as llm:
        engine = llm.engine
        [out] = llm.generate([[1, 2, 3]], params, use_tqdm=False)
        made = out.outputs[0].token_ids

        def new(due: float | None = math.inf) -> int:
            before = request.num_output
            engine.step(due=due)
            assert request.output_ids == made[: request.num_output]
            return request.num_output - before

        def start(params: SamplingParams):
            [job] = llm._jobs(as_prompts([[1, 2, 3]]), [params])
            engine.add(job.requests[0])
            engine.step()
            return job.requests[0]

        def beside(other) -> int:
            """As `new`, while `other` waits for its turn."""
            run, threads = engine.runner.run, [threading.Thread(target=other)]

            def late(plan):
                threads[0].start()
                while not engine._turns._queue:
                    time.sleep(0.001)
                return run(plan)

            with monkeypatch.context() as patch:
                patch.setattr(engine.runner, "run", late)
                count = new()
            threads[0].join()
            return count

        request = start(params)
        assert [new(), new(None), new(), new(time.monotonic())] == [8, 1, 8, 1]
        assert beside(engine.settle) == 1
        assert beside(lambda: engine.step(unless=lambda: True)) == 1
        assert beside(lambda: engine.step(unless=lambda: True, due=math.inf)) == 8
        # nobody waits for tokens that come after an end
        other = start(params)
        ahead = request.num_output, other.num_output
        while not request.finished:
            new()
        assert len(made) - ahead[0] == other.num_output - ahead[1]
        while not other.finished:
            engine.step()
        assert other.output_ids == made
        request = start(SamplingParams(temperature=0, max_tokens=60, stop_token_ids=[made[11]]))
        first = made.index(made[11]) + 1
        while not request.finished:
            step = new()
        assert request.num_output == first
        assert step == (first - 2) % 8 + 1


def test_many_short_prompts_are_captured_when_they_come_again(on_cpu, llama, open_llm):
    plain = SamplingParams(temperature=0, max_tokens=3, ignore_eos=True)
    sets = [[[i + 1, *range(3, 60 + i)] for i in range(n)] for n in (9, 16, 12)]
    with open_llm(llama[0]) as llm:
        graphs = llm.engine.runner.graphs
        for i, many in enumerate((sets[0], sets[1], sets[2], sets[1])):
            llm.reset_prefix_cache()
            found = llm.generate(many, plain, use_tqdm=False)
            assert tokens(found) == tokens(on_cpu.generate(many, plain, use_tqdm=False))
            # 9 prompts of 582 tokens, 12 of 750 and 16 of 1,032: two sizes
            sizes = {key[1:3] for key in graphs._made if key[0] == "prompts" and key[1] > 512}
            assert sizes == [set(), set(), {(1024, 16)}, {(1024, 16), (2048, 16)}][i]


def test_rows_grow_long_after_their_step_was_captured(tmp_path, where, open_llm):
    """Nothing about a length may be part of a captured step."""
    folder = tmp_path / "long"
    folder.mkdir()
    write_model("llama", folder, max_position_embeddings=LONG)
    count = 2500 if where == "cuda" else 300
    short = [SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)] * 2
    long = [SamplingParams(temperature=0, max_tokens=count, ignore_eos=True)] * 2
    many = [[1] * 100, [2, 3]]
    with LLM(folder, device="cpu") as cpu:
        want = tokens(cpu.generate(many, long, use_tqdm=False))
    with open_llm(folder) as llm:
        llm.generate(many, short, use_tqdm=False)
        captured = set(llm.engine.runner.graphs._made)
        llm.reset_prefix_cache()
        assert tokens(llm.generate(many, long, use_tqdm=False)) == want
        assert set(llm.engine.runner.graphs._made) == captured


@pytest.mark.parametrize("early_stopping", [None, True])
def test_beams_are_a_cpus(on_cpu, llama, open_llm, early_stopping):
    params = BeamSearchParams(beam_width=3, max_tokens=12, early_stopping=early_stopping)
    many = [{"prompt_token_ids": p} for p in prompts(3)]
    want = on_cpu.beam_search(many, params)
    with open_llm(llama[0]) as llm:
        found = llm.beam_search(many, params)
    for mine, other in zip(found, want, strict=True):
        assert [s.tokens for s in mine.sequences] == [s.tokens for s in other.sequences]
        assert [s.cum_logprob for s in mine.sequences] == pytest.approx(
            [s.cum_logprob for s in other.sequences], abs=1e-3
        )


def test_an_interrupt_at_many_lines_costs_no_token(on_cpu, llama, open_llm):
    many = [[7] * 70, [9] * 30, [4, 5], [8] * 64]
    each = [
        SamplingParams(temperature=0, max_tokens=12, ignore_eos=True),
        SamplingParams(seed=1, max_tokens=9, ignore_eos=True),
        SamplingParams(
            seed=2,
            repetition_penalty=1.3,
            max_tokens=5,
            logit_bias={5: 3.0},
            allowed_token_ids=list(range(90)),
            bad_words=["ab"],
        ),
        SamplingParams(seed=3, top_p=0.9, max_tokens=14, ignore_eos=True),
    ]
    want = tokens(on_cpu.generate(many, each, use_tqdm=False))
    r = random.Random(0)
    with open_llm(llama[0], max_num_seqs=3, max_num_batched_tokens=80) as llm:
        for at in (r.randrange(1, 4000) for _ in range(40)):
            if at % 4 == 0:  # so that a capture is interrupted too
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                llm.engine.runner._launched.clear()
                llm.engine.runner.graphs.close()
            llm.reset_prefix_cache()
            requests = [job.requests[0] for job in llm._jobs(as_prompts(many), each)]
            for request in requests:
                llm.engine.add(request)
            try:
                with InterruptAtLine(at):
                    while not all(q.finished for q in requests):
                        llm.engine.step(due=math.inf if at % 2 else None)
            except KeyboardInterrupt:
                pass
            while not all(q.finished for q in requests):
                llm.engine.step()
            llm.engine.settle()
            assert [q.output_ids for q in requests] == want, f"line {at}"
            assert llm.info().num_free_pages == llm.info().num_pages, f"line {at}"


def test_a_runner_that_forgets_its_rows_sends_them_again(llama, open_llm):
    params = SamplingParams(temperature=0, max_tokens=150, ignore_eos=True)
    with open_llm(llama[0]) as llm:
        want = tokens(llm.generate([[3, 4]], params, use_tqdm=False))
        runner, inner = llm.engine.runner, llm.engine.runner.run

        def run(plan):
            runner._whole = False
            return inner(plan)

        runner.run = run
        assert tokens(llm.generate([[3, 4]], params, use_tqdm=False)) == want


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["llama", "qwen3", "opt"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_float32(tmp_path, kind, dtype):
    """Log-probabilities token by token: of prompts, of decoding, of cached prefixes, at many sizes."""
    write_model(kind, tmp_path, std=0.08)
    worst, each = 0.0, prompts(40, seed=9)
    with LLM(tmp_path, device="cuda", dtype=dtype) as llm, LLM(tmp_path, device="cpu") as cpu:
        for count in (1, 3, 9, 40):
            params = SamplingParams(seed=1, max_tokens=70, ignore_eos=True)
            for out in llm.generate(each[:count], params, use_tqdm=False)[:3]:
                made = out.outputs[0]
                whole = out.prompt_token_ids + made.token_ids
                asked = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0)
                scores = [llm.generate([whole], asked, use_tqdm=False)[0].prompt_logprobs]
                scores += [cpu.generate([whole], asked, use_tqdm=False)[0].prompt_logprobs]
                mine, oracle = (
                    np.array([p[t].logprob for p, t in zip(s[1:], whole[1:], strict=True)])
                    for s in scores
                )
                worst = max(worst, abs(mine - oracle).max())
                decoded = oracle[-len(made.token_ids) :]
                total = abs(made.cumulative_logprob - decoded.sum()) / len(decoded)
                worst = max(worst, total)
    assert worst < (0.06 if dtype == "bfloat16" else 0.01), worst


@pytest.mark.gpu
def test_nothing_is_collected_while_a_step_is_captured():
    class Waits:
        """What a load that was interrupted may leave: freeing its memory waits for the GPU."""

        def __init__(self):
            self.me = self

        def __del__(self):
            torch.cuda.synchronize()

    def step(x):
        Waits()
        assert len([[] for _ in range(20_000)]) == 20_000  # a collection is due
        return x + 1

    x = torch.zeros(4, device="cuda")
    graphs = Graphs(torch.device("cuda", 0))
    assert graphs.get("step", step, x, torch.zeros_like(x)).replay().tolist() == [1] * 4
    assert gc.isenabled()


@pytest.mark.gpu
def test_other_threads_go_on_while_steps_are_captured():
    """On torch's streams, which are dealt out again and again; who waits for all of a GPU has a turn."""
    device, over, failed = torch.device("cuda", 0), threading.Event(), []
    x, many = torch.zeros(4, device=device), torch.ones(1 << 20, device=device)

    def work():
        try:
            while not over.is_set():
                with torch.cuda.stream(torch.cuda.Stream(device)):
                    assert many.sum().item() == 1 << 20
                wait_for(device)
        except BaseException as error:
            failed.append(error)

    def step(x):
        for _ in range(300):
            x = x + 1
        return x

    threads, graphs = [threading.Thread(target=work) for _ in range(3)], Graphs(device)
    for thread in threads:
        thread.start()
    try:
        for i in range(30):
            out = graphs.get(i, step, x, torch.zeros_like(x)).replay()
            assert out.tolist() == [300] * 4
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failed


@pytest.mark.gpu
@pytest.mark.parametrize("heard", [True, False])
def test_a_capture_that_fails_does_not_keep_memory(heard):
    def step(x):
        if torch.cuda.is_current_stream_capturing():
            torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
            with nullcontext() if heard else suppress(RuntimeError):
                torch.cuda.synchronize()  # which ends it
            return x
        return x + 1

    x, graphs = torch.zeros(4, device="cuda"), Graphs(torch.device("cuda", 0))
    torch.cuda.empty_cache()
    before = torch.cuda.mem_get_info()[0]
    with pytest.raises(RuntimeError):
        graphs.get("step", step, x, torch.zeros_like(x))
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info()[0]
    assert free >= before - (64 << 20)
    mine = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    assert torch.cuda.mem_get_info()[0] <= free - (1 << 30)
    del mine
    torch.cuda.empty_cache()
    assert torch.cuda.mem_get_info()[0] >= free - (1 << 20)
    again = graphs.get("other", lambda x: x + 1, x, torch.zeros_like(x))
    assert again.replay().tolist() == [1] * 4


@pytest.mark.gpu
def test_many_arrive_while_others_finish(on_cpu, llama):
    many = prompts(600, longest=40, seed=3)
    r = random.Random(1)
    each = [
        SamplingParams(seed=i, temperature=0.8, max_tokens=r.randint(1, 60), ignore_eos=True)
        for i in range(len(many))
    ]
    want = on_cpu.generate(many[:60], each[:60], use_tqdm=False)
    with LLM(llama[0], device="cuda") as llm:
        found = llm.generate(many, each, use_tqdm=False)
    assert tokens(found)[:60] == tokens(want)
    assert [len(t) for t in tokens(found)] == [p.max_tokens for p in each]


@pytest.mark.gpu
def test_the_guest_changes_nothing_of_its_hosts(llama):
    torch.cuda.manual_seed(5)
    state, stream = torch.cuda.get_rng_state(), torch.cuda.current_stream()
    mine = torch.full((1 << 20,), 3.0, device="cuda")
    with LLM(llama[0], device="cuda") as llm:
        llm.generate(prompts(5), MIXED[0], use_tqdm=False)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert torch.cuda.current_stream() == stream
    assert bool((mine == 3.0).all())
