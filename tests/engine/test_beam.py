"""The default beam search equals a plain one, and an enumeration where there is one."""

import itertools
import random

import numpy as np
import pytest
import torch
from plain_beam import Found, diverse, logprobs_of, search
from tiny_models import write_model

from nbllm import LLM, BeamSearchParams
from nbllm.beams import Hypothesis
from nbllm.engine.beam_select import Rules, candidates, choose
from nbllm.prompts import as_prompts


@pytest.fixture(scope="module", params=["llama", "qwen3", "opt"])
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    model = write_model(request.param, folder, std=0.12)
    with LLM(folder) as llm:
        yield llm, model


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A vocabulary of 100 printable characters."""
    folder = tmp_path_factory.mktemp("small")
    ids = {"bos_token_id": 95, "eos_token_id": 96}
    model = write_model("llama", folder, ascii_only=True, std=0.12, **ids)
    with LLM(folder) as llm:
        yield llm, model


def same(output, want: list[Found], length_penalty: float = 1.0) -> None:
    got = output.sequences
    assert [s.generated_token_ids for s in got] == [list(f.ids) for f in want]
    assert [s.finish_reason for s in got] == [f.reason for f in want]
    np.testing.assert_allclose([s.cum_logprob for s in got], [f.cum for f in want], atol=2e-4)
    np.testing.assert_allclose(
        [s.score for s in got], [f.score(length_penalty) for f in want], atol=2e-4
    )


def some_prompts(rng: random.Random, count: int, vocab: int = 255) -> list[list[int]]:
    lengths = rng.choices([1, 2, 9, 63, 64, 65, 130], k=count)
    return [[rng.randrange(vocab) for _ in range(n)] for n in lengths]


@pytest.mark.parametrize("seed", range(12))
def test_default_rules(pair, seed, monkeypatch):
    llm, model = pair
    rng = random.Random(seed)
    prompts, eos = some_prompts(rng, rng.randint(1, 3)), set(rng.sample(range(255), 12))
    monkeypatch.setattr(llm.intake, "eos_ids", frozenset(eos))
    penalty, temperature = rng.choice([-1.0, 0.0, 1.0, 2.0]), rng.choice([0.0, 1.0, 0.7, 1.6])
    params = BeamSearchParams(
        beam_width=rng.randint(1, 6),
        max_tokens=rng.randint(1, 9),
        length_penalty=penalty,
        temperature=temperature,
        ignore_eos=rng.random() < 0.2,
        allowed_token_ids=rng.sample(range(255), 100) if rng.random() < 0.4 else None,
    )
    allowed = params.allowed_token_ids
    for prompt, output in zip(prompts, llm.beam_search(prompts, params), strict=True):
        want = search(
            logprobs_of(model, prompt, temperature or 1.0),
            params.beam_width,
            params.max_tokens,
            set() if params.ignore_eos else eos,
            length_penalty=penalty,
            allowed=set(allowed) if allowed else None,
        )
        same(output, want, penalty)
    assert llm.info().num_free_pages == llm.info().num_pages


def test_two_steps_as_wide_as_the_vocabulary_are_an_enumeration(small):
    llm, model = small
    vocab = llm.config.vocab_size
    logprobs = logprobs_of(model, [3, 4])
    params = BeamSearchParams(beam_width=vocab, max_tokens=2, ignore_eos=True, length_penalty=0.0)
    [output] = llm.beam_search([3, 4], params)
    first = logprobs(())
    total = {
        (a, b): (first[a] + logprobs((a,))[b]).item()
        for a, b in itertools.product(range(vocab), repeat=2)
    }
    best = sorted(total, key=total.__getitem__, reverse=True)[:vocab]
    got = [tuple(s.generated_token_ids) for s in output.sequences]
    np.testing.assert_allclose(
        [s.cum_logprob for s in output.sequences], [total[p] for p in best], atol=1e-4
    )
    assert len(set(got) & set(best)) >= vocab - 1  # rounding may swap the last


@pytest.mark.parametrize("seed", range(8))
def test_diverse_groups(pair, seed, monkeypatch):
    llm, model = pair
    rng = random.Random(seed)
    [prompt], eos = some_prompts(rng, 1), set(rng.sample(range(255), 12))
    monkeypatch.setattr(llm.intake, "eos_ids", frozenset(eos))
    width, groups = rng.choice([(2, 2), (4, 2), (6, 2), (6, 3), (4, 4)])
    penalty = rng.choice([0.0, 0.5, 2.0, 10.0])
    params = BeamSearchParams(
        beam_width=width, max_tokens=6, num_beam_groups=groups, diversity_penalty=penalty
    )
    [output] = llm.beam_search([prompt], params)
    want = diverse(logprobs_of(model, prompt), width, 6, eos, groups, penalty)
    if penalty:
        same(output, want)
    else:  # every group finds the same
        assert {tuple(s.generated_token_ids) for s in output.sequences} == {f.ids for f in want}


def test_a_penalty_makes_groups_differ(small):
    llm, _ = small

    def first_tokens(penalty: float) -> set[int]:
        params = BeamSearchParams(
            beam_width=4,
            max_tokens=5,
            num_beam_groups=4,
            diversity_penalty=penalty,
            ignore_eos=True,
        )
        return {s.generated_token_ids[0] for s in llm.beam_search([5, 6], params)[0].sequences}

    assert len(first_tokens(1e-6)) == 1
    assert len(first_tokens(100.0)) == 4


@pytest.mark.parametrize("include", [False, True])
def test_stop_strings(small, include):
    llm, model = small
    free = BeamSearchParams(beam_width=4, max_tokens=8, ignore_eos=True)
    prompt = [10, 20, 30]
    texts = [s.generated_text for s in llm.beam_search([prompt], free)[0].sequences]
    stops = [texts[0][2:4], texts[1][4]]
    params = BeamSearchParams(
        beam_width=4,
        max_tokens=8,
        ignore_eos=True,
        stop=stops,
        include_stop_str_in_output=include,
    )
    [output] = llm.beam_search([prompt], params)

    def text(ids) -> str:
        return llm.tokenizer.decode(ids)

    want = search(
        logprobs_of(model, prompt),
        4,
        8,
        set(),
        stops=lambda ids: any(s in text(ids) for s in stops),
    )
    same(output, want)
    assert "stop" in [f.reason for f in want]
    for s in output.sequences:
        whole = text(s.generated_token_ids)
        if s.finish_reason == "stop":
            assert s.stop_reason in stops
            at = whole.index(s.stop_reason)
            assert s.generated_text == whole[: at + len(s.stop_reason) * include]
            assert at + len(s.stop_reason) == len(whole)
        else:
            assert (s.stop_reason, s.generated_text) == (None, whole)
        assert s.text == text(prompt) + s.generated_text


def test_stop_token_ids_and_eos_keep_their_ids_and_lose_their_text(small):
    llm, _ = small
    prompt = [10, 20, 30]
    free = BeamSearchParams(beam_width=3, max_tokens=6, ignore_eos=True)
    stop = llm.beam_search([prompt], free)[0].sequences[0].generated_token_ids[3]
    for include in (False, True):
        params = BeamSearchParams(
            beam_width=3,
            max_tokens=6,
            ignore_eos=True,
            stop_token_ids=[stop],
            include_stop_str_in_output=include,
        )
        stopped = [s for s in llm.beam_search([prompt], params)[0].sequences if s.stop_reason]
        assert stopped
        for s in stopped:
            ids = s.generated_token_ids
            assert (s.finish_reason, s.stop_reason, ids[-1]) == ("stop", stop, stop)
            assert s.generated_text == llm.tokenizer.decode(ids if include else ids[:-1])


class Alternating:
    """Even tokens after odd ones and odd after even; at most `left` of them, then EOS."""

    alive: list["Alternating"] = []

    def __init__(self, vocab: int, eos: int, left: int, said: tuple[int, ...] = ()):
        self.vocab, self.eos, self.left, self.said = vocab, eos, left, said

    def fork(self):
        return Alternating(self.vocab, self.eos, self.left, self.said)

    def accept(self, token: int) -> None:
        assert self.allowed()[token]
        self.said, self.left = (*self.said, token), self.left - 1

    def allowed(self) -> np.ndarray:
        ids = np.arange(self.vocab)
        if not self.left:
            return ids == self.eos
        wanted = self.said[-1] + 1 if self.said else 0
        return (ids % 2 == wanted % 2) & (ids < 90)


def test_constraints_follow_their_beams(small):
    llm, model = small
    vocab, prompt = llm.config.vocab_size, [10, 20, 30]
    params = BeamSearchParams(beam_width=3, max_tokens=8)
    jobs = llm._searches(as_prompts([prompt, prompt[:2]]), params)
    jobs[0].search.constraint = Alternating(vocab, 96, 4)
    for job in jobs:
        llm.engine.add(job.request)
    while not all(job.finished for job in jobs):
        llm.engine.step()
    constrained, free = (job.output() for job in jobs)
    raw = logprobs_of(model, prompt)
    for s in constrained.sequences:
        *said, last = s.generated_token_ids
        assert last == 96
        assert [t % 2 for t in said] == [0, 1, 0, 1]
        want = [
            raw(tuple(s.generated_token_ids[:i]))[t].item() for i, t in enumerate([*said, last])
        ]
        np.testing.assert_allclose(s.token_logprobs, want, atol=1e-4)
    same(free, search(logprobs_of(model, prompt[:2]), 3, 8, {96}))


def test_ties_go_to_the_lower_beam_then_the_lower_id():
    params = BeamSearchParams(beam_width=3, max_tokens=5)
    rules = Rules.of(params, frozenset({0}), 50, "cpu")
    logits = torch.zeros(6, 50)
    logits[4, 7] = 1.0
    scores = torch.tensor([[0.0, -torch.inf, -torch.inf], [-1.0, -1.0, -1.0]], dtype=torch.float64)
    found = candidates(logits, scores, rules, None)
    assert found.tokens[0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert found.tokens[1, 1].tolist() == [7, 0, 1, 2, 3, 4]
    found, choice = choose(found, rules, 1, torch.tensor([5, 1]), torch.full((2, 3), -torch.inf))
    assert choice.kept[0].tolist() == [1, 2, 3]  # token 0 is EOS
    assert choice.kept[1].tolist() == [6, 1, 2]  # the likelier one of beam 1, then beam 0
    assert choice.done.tolist() == [False, True]
    assert choice.completed.sum().item() == 1 + 3


def test_a_wave_follows_the_ancestors(pair):
    """The keys of no beam are ever copied: the table alone says whose they are."""
    llm, _ = pair
    # not all tokens: on a GPU too such a search is stepped by the host
    params = BeamSearchParams(beam_width=4, max_tokens=9, allowed_token_ids=list(range(255)))
    [job] = llm._searches(as_prompts([[1, 2, 3]]), params)
    llm.engine.add(job.request)
    while not job.finished:
        llm.engine.step()
        state = job.search.wave.state
        history = job.found().history
        for i in range(4):
            if state.scores[0, i] == -torch.inf or not state.step:
                continue
            b, r = divmod(int(history.kept[-1, i]), 8)
            path = history.path(
                Hypothesis(step=state.step, beam=b, rank=r, cum_logprob=0, score=0, live=True)
            )
            # the ancestor at step s offered the candidate of step s, and the newest is itself
            assert state.ancestors[0, i].tolist() == [*(b for b, _ in path), i]
