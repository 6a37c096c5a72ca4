"""Grammars in the engine: matchers follow tokens, masks are made beside the model, nothing is lost."""

import itertools
import random
import re
import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from interrupting import InterruptAtLine
from llguidance import LLExecutor
from tokenizers import AddedToken

from nbllm import LLM, SamplingParams, StructuredOutputsParams
from nbllm.engine import build, masks
from nbllm.engine.grammar import Grammars
from nbllm.engine.masks import FEW, Mask, Masks
from nbllm.engine.matcher import FIRST, Matcher, _avoid, at_a_time, fill, unpacked
from nbllm.engine.text import Tokenizer
from nbllm.errors import GenerationInterrupted, ParamError
from nbllm.prompts import as_prompts

EOS = 96  # of the ascii model
PAGE_BYTES = 24576


def regex(pattern: str) -> StructuredOutputsParams:
    return StructuredOutputsParams(regex=pattern)


def params(pattern: str, **options) -> SamplingParams:
    options = {"temperature": 0, "max_tokens": 40, **options}
    return SamplingParams(structured_outputs=regex(pattern), **options)


@pytest.fixture
def grammars(ascii_llm) -> Grammars:
    return Grammars(ascii_llm.tokenizer, ascii_llm.config.vocab_size, {EOS})


def texts(llm, allowed: np.ndarray) -> set[str]:
    """The tokens that a mask allows, as text."""
    return {llm.tokenizer.decode([i], skip_special_tokens=False) for i in np.flatnonzero(allowed)}


def ids(llm, text: str) -> list[int]:
    return llm.tokenizer.encode(text, add_special_tokens=False)


# --- one matcher


def test_a_matcher_follows_the_tokens(ascii_llm, grammars):
    m = grammars.matcher(regex("ab?(cd)*"), begin=2)
    prompt = [5, 6]
    assert texts(ascii_llm, m.allowed()) == {"a"}
    m.follow(prompt + ids(ascii_llm, "a"))
    assert texts(ascii_llm, m.allowed()) == {"b", "c", "<eos>"}
    m.follow(prompt + ids(ascii_llm, "a"))  # nothing new
    m.follow(prompt + ids(ascii_llm, "abcdc"))
    assert texts(ascii_llm, m.allowed()) == {"d"}
    assert not m.complete


def test_a_matcher_starts_over_when_in_doubt(ascii_llm, grammars):
    m = grammars.matcher(regex("[ab]+c"))
    m.follow(ids(ascii_llm, "abab"))
    m.follow(ids(ascii_llm, "ba"))  # another, shorter text
    m.follow(ids(ascii_llm, "bac"))
    assert m.complete
    assert texts(ascii_llm, m.allowed()) == {"<eos>"}
    m.follow(ids(ascii_llm, "a"))
    assert texts(ascii_llm, m.allowed()) == {"a", "b", "c"}
    with pytest.raises(ParamError, match="structured_outputs, after 1 tokens"):
        m.follow(ids(ascii_llm, "ax"))
    m.follow(ids(ascii_llm, "abc"))
    assert m.complete


def test_an_interrupt_inside_leaves_doubt(ascii_llm, grammars):
    m = grammars.matcher(regex("[ab]+c"))
    many = ids(ascii_llm, "abababc")

    class Interrupts:
        """Consumes half of what it gets."""

        def __init__(self, native):
            self.native = native

        def consume_tokens(self, tokens):
            self.native.consume_tokens(tokens[: len(tokens) // 2])
            raise KeyboardInterrupt

    m.native = Interrupts(m.native)
    with pytest.raises(KeyboardInterrupt):
        m.follow(many[:4])
    m.follow(many)
    assert m.complete


def test_forks_go_their_own_ways(ascii_llm, grammars):
    one = grammars.matcher(regex("(ab|ac)d*"))
    a, b, c, d = ids(ascii_llm, "abcd")
    assert one.accept(a)
    two = one.fork()
    assert one.accept(b)
    assert not two.accept(d)
    assert texts(ascii_llm, two.allowed()) == {"b", "c"}
    assert two.accept(c)
    assert two.accept(d)
    assert texts(ascii_llm, one.allowed()) == {"d", "<eos>"}
    two.follow([a, c, d, d])  # knows the first three
    assert texts(ascii_llm, two.allowed()) == {"d", "<eos>"}
    assert one.accept(EOS)
    assert one.complete


def test_masks_are_what_the_regex_means(ascii_llm, grammars):
    """Against `re`, which cannot say what may follow: every text of up to three characters."""
    alphabet = "abc"
    for pattern in ("a*b?", "(ab|ba)c?", "a{2}|b{1,3}", "[ab]c[^a]?"):
        reachable = {""}
        for text in map("".join, itertools.product(alphabet, repeat=3)):
            m = grammars.matcher(regex(pattern))
            for i, char in enumerate(text):
                allowed = texts(ascii_llm, m.allowed())
                done = re.fullmatch(pattern, text[:i]) is not None
                assert ("<eos>" in allowed) == done, (pattern, text[:i])
                longer = ["".join(t) for n in range(4) for t in itertools.product("abcx", repeat=n)]
                for c in alphabet:
                    can = any(re.fullmatch(pattern, text[:i] + c + more) for more in longer)
                    assert (c in allowed) == can, (pattern, text[:i], c)
                if char not in allowed:
                    break
                assert m.accept(ids(ascii_llm, char)[0])
                reachable.add(text[: i + 1])
        assert len(reachable) > 2


def test_a_grammar_is_compiled_once(ascii_llm):
    made = Grammars(ascii_llm.tokenizer, ascii_llm.config.vocab_size, {EOS})
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    first = made.matcher(StructuredOutputsParams(json=schema))
    second = made.matcher(StructuredOutputsParams(json=dict(schema)))
    assert first._initial is second._initial
    assert first.native is not second.native
    assert made._compiled.cache_info().misses == 1


# --- sizes


def test_no_logit_beyond_the_tokenizer(ascii_llm, tmp_path):
    """A head wider than the vocabulary: ids without a token are never allowed, whatever the bias."""
    made = Grammars(ascii_llm.tokenizer, 177, {EOS})
    for pattern in (".*", r"[\s\S]*"):
        allowed = made.matcher(regex(pattern)).allowed()
        assert allowed.shape == (192,)
        assert allowed[:95].all()
        assert np.flatnonzero(allowed).max() == EOS
    # and no special token but EOS
    assert not allowed[95]
    assert not allowed[97:].any()


def test_a_head_narrower_than_the_tokenizer(llm):
    backend = Tokenizer.from_object(llm.tokenizer.backend).backend
    backend.add_tokens([AddedToken("<think>", special=False)])
    size = backend.token_to_id("<think>")
    assert size == 261
    wide = Grammars(Tokenizer.from_object(backend), size + 1, {257})
    assert np.flatnonzero(wide.matcher(regex("<think>")).allowed()).tolist() == [size]
    narrow = Grammars(Tokenizer.from_object(backend), size, {257})
    less = ids(llm, "<")
    assert np.flatnonzero(narrow.matcher(regex("<think>")).allowed()).tolist() == less
    # and without a part of the vocabulary itself
    half = Grammars(Tokenizer.from_object(backend), 200, {7})
    assert not half.matcher(regex(r"[\s\S]+")).allowed()[200:].any()


def test_without_an_eos_there_is_no_end(ascii_llm):
    for eos in (set(), {100}, {5000}):
        with pytest.raises(ParamError, match="needs an EOS token"):
            Grammars(ascii_llm.tokenizer, 100, eos).matcher(regex("a"))


def test_bits_are_unpacked_lowest_first():
    bits = np.array([[1, -(2**31)], [6, 0]], np.int32)
    assert np.flatnonzero(unpacked(bits)[0]).tolist() == [0, 63]
    assert np.flatnonzero(unpacked(bits)[1]).tolist() == [1, 2]


# --- masks


def test_a_mask_forbids_and_holds(ascii_llm, grammars):
    made = Masks(torch.device("cpu"))
    matchers = [grammars.matcher(regex(p)) for p in ("a", "[bc]")]
    matchers[0].follow(ids(ascii_llm, "a"))
    mask = made.begin(np.array([0, 2]), matchers, [None, []])
    logits = torch.randn(3, 100)
    raw = logits.clone()
    out = mask.apply(logits)
    assert torch.equal(logits, raw)  # log-probabilities are of these
    assert torch.equal(out[1], raw[1])
    assert (out[0] > -torch.inf).nonzero().flatten().tolist() == [EOS]
    kept = ids(ascii_llm, "bc")
    assert (out[2] > -torch.inf).nonzero().flatten().tolist() == kept
    # a later rule that leaves nothing of row 0, and something of row 2
    left = out.clone()
    left[:, [EOS, kept[0]]] = -torch.inf
    held = mask.hold(left, out)
    assert torch.equal(held[0], out[0])
    assert (held[2] > -torch.inf).nonzero().flatten().tolist() == kept[1:]
    made.close()
    made.close()


def test_many_at_once_equal_one_by_one(grammars, ascii_llm):
    made, r = Masks(torch.device("cpu")), random.Random(0)
    patterns = ["[a-f]+", "(ab)+", r"\d{1,9}", "[^x]*"]
    some = ["abc", "abab", "123", "hello world"]
    chosen = [r.randrange(4) for _ in range(63)]
    tokens = [ids(ascii_llm, some[i])[: r.randint(0, 3)] for i in chosen]
    each = [[grammars.matcher(regex(patterns[i])) for i in chosen] for _ in range(4)]
    want = np.stack([fill([m], [t])[0] for m, t in zip(each[0], tokens, strict=True)])
    assert np.array_equal(fill(each[1], tokens), want)
    assert np.array_equal(fill(each[2], tokens, compute=partial(at_a_time, LLExecutor(3))), want)
    mask = made.begin(np.arange(63), each[3], tokens)
    assert np.array_equal(mask.filled().numpy(), unpacked(want))
    made.close()


@pytest.mark.parametrize("ignore_eos", [False, True])
def test_steps_of_many_equal_steps_of_one(grammars, ascii_llm, ignore_eos):
    """Most are a token behind; one joins with more, one starts over, one takes what is forbidden."""
    texts = ["abcabc", "abab", "1234567", "aaa"]
    patterns = ["[a-f]+", "(ab)+", r"\d{1,9}", "a{3}"]
    tokens = [ids(ascii_llm, t) for t in texts]
    together, alone = (
        [grammars.matcher(regex(p), ignore_eos=ignore_eos) for p in patterns] for _ in range(2)
    )
    for count in (0, 1, 2, 3, 2, 3):
        so_far = [t[: 2 * count if i == 0 else count] for i, t in enumerate(tokens)]
        want = np.stack([fill([m], [t])[0] for m, t in zip(alone, so_far, strict=True)])
        assert np.array_equal(fill(together, so_far), want)
        eos = unpacked(want)[:, EOS].tolist()
        # "aaa" is complete: nothing else is left, so its end is not avoided
        plain = [count > 0, count == 2, count > 0, count == 3]
        assert eos == ([False, False, False, count == 3] if ignore_eos else plain)
    wrong = [*so_far[:3], [*so_far[3], tokens[2][0]]]
    with pytest.raises(ParamError, match="after 3 tokens"):
        fill(together, wrong)
    assert np.array_equal(fill(together, so_far), want)


def test_an_avoided_end_among_many_words():
    """Others may be left in the first words, far behind them, in its own word, or nowhere."""
    bits = np.zeros((6, 3 * FIRST), np.int32)
    end = len(bits[0]) - 2
    bits[:, end] = 0b101  # two ids that end
    bits[0, 3], bits[1, FIRST + 7], bits[2, end] = 1, -1, 0b111
    bits[5, end] = 0
    avoided = np.array([end]), np.array([0b101], np.int32)
    who = [SimpleNamespace(avoided=None if i == 4 else avoided) for i in range(6)]
    want = bits.copy()
    want[:2, end], want[2, end] = 0, 0b010
    _avoid(who, bits)  # pyright: ignore
    assert np.array_equal(bits, want)


@pytest.mark.parametrize("slow", [False, True])
def test_threads_are_asked_where_masks_take_long(grammars, monkeypatch, slow):
    monkeypatch.setattr(masks, "SLOW", -1.0 if slow else 60.0)
    made = Masks(torch.device("cpu"))
    matchers = [grammars.matcher(regex(p)) for p in ("[a-z]", r"\d?", "[^!]") * FEW]
    for count in (1, FEW, 3 * FEW):
        want = np.stack([fill([m], [None])[0] for m in matchers[:count]])
        assert np.array_equal(made.packed(matchers[:count], [None] * count).numpy(), want)
        assert (made._executor is not None) == (slow and count > FEW)
    made.close()


def test_packed_bits_mean_the_same(grammars):
    """A GPU gets the bits as they are and unpacks them itself."""
    bits = fill([grammars.matcher(regex(p)) for p in ("[a-z]", r"\d?", "[^!]")], [None] * 3)
    logits = torch.randn(4, 100)
    out = []
    for filled in (torch.from_numpy(bits), torch.from_numpy(unpacked(bits))):
        mask = Mask(rows=torch.tensor([0, 1, 3]), filled=partial(torch.clone, filled))
        out.append(mask.apply(logits))
        every = Mask(rows=torch.arange(3), filled=mask.filled)
        assert torch.equal(every.apply(logits[[0, 1, 3]]), out[-1][[0, 1, 3]])
    assert torch.equal(*out)
    assert (out[0] == -torch.inf).any(1).tolist() == [True, True, False, True]


@pytest.mark.gpu
def test_a_gpu_gives_the_same(ascii_llm):
    many = ["a", "b c", "d" * 70]
    each = [params("[a-m]{30}"), SamplingParams(temperature=0, max_tokens=9), params("(ab|cd)+e")]
    want = [o.outputs[0].token_ids for o in ascii_llm.generate(many, each, use_tqdm=False)]
    with LLM(ascii_llm.info().path, device="cuda", dtype="float32") as llm:
        out = llm.generate(many, each, use_tqdm=False)
    assert [o.outputs[0].token_ids for o in out] == want


def test_masks_are_made_beside_the_forward_pass(ascii_llm, monkeypatch):
    """Each waits for the other here: a mask made before the model runs, or after, would never come."""
    monkeypatch.setattr(build, "has_kernels", lambda kv: False)  # nor the twin of a GPU's runner
    with LLM(ascii_llm.info().path, device="cpu") as llm:
        check_masks_beside(llm, monkeypatch)


def check_masks_beside(ascii_llm, monkeypatch):
    inner, engine = ascii_llm.engine.runner.model.forward, ascii_llm.engine
    begun, done, steps = threading.Semaphore(0), threading.Semaphore(0), []

    def filled(*args, make=masks._unpacked):
        assert begun.acquire(timeout=20)
        made = make(*args)
        done.release()
        return made

    def forward(batch):
        begun.release()
        steps.append(done.acquire(timeout=20))
        return inner(batch)

    monkeypatch.setattr(masks, "_unpacked", filled)
    monkeypatch.setattr(engine.runner.model, "forward", forward)
    out = ascii_llm.generate("x", params("[a-d]{5}"), use_tqdm=False)[0].outputs[0]
    assert re.fullmatch("[a-d]{5}", out.text)
    assert steps == [True] * 6  # five characters and EOS


def test_the_worker_is_made_on_first_use_and_ends(llama, monkeypatch):
    monkeypatch.setattr(build, "has_kernels", lambda kv: False)
    before = threading.active_count()
    with LLM(llama[0], device="cpu") as llm:
        llm.generate("a", SamplingParams(max_tokens=3), use_tqdm=False)
        assert threading.active_count() == before
        llm.generate("a", params("a{9}"), use_tqdm=False)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


# --- requests


PATTERNS = ["[a-m]{30}", "([0-9]{2}-){9}", "(ab|cd)+e", "[^q]{20}z", "(yes|no)( (yes|no)){12}"]


def test_preemption_changes_nothing(ascii_llm):
    many = [[i + 1] * (50 + i) for i in range(8)]
    each = [params(PATTERNS[i % 5]) for i in range(8)]
    want = [
        ascii_llm.generate(p, e, use_tqdm=False)[0].outputs[0]
        for p, e in zip(many, each, strict=True)
    ]
    folder = ascii_llm.info().path
    with LLM(folder, kv_cache_memory_bytes=5 * PAGE_BYTES, max_model_len=128) as llm:
        preempted, inner = [], llm.engine.scheduler.add

        def add(request):
            preempted.extend([request.id] if request.num_output else [])
            inner(request)

        llm.engine.scheduler.add = add
        out = llm.generate(many, each, use_tqdm=False)
        assert llm.info().num_free_pages == llm.info().num_pages
    assert preempted
    assert [o.outputs[0].token_ids for o in out] == [w.token_ids for w in want]
    for o, e in zip(out, each, strict=True):
        made = o.outputs[0]
        if made.finish_reason == "stop":
            assert re.fullmatch(e.structured_outputs.regex, made.text)


@pytest.mark.parametrize("where", ["on the worker", "in the step"])
def test_an_interrupt_at_every_line_of_a_step(ascii_llm, monkeypatch, where):
    """The worker is not interrupted; a GPU's host fills the masks itself, and may be."""
    if where == "in the step":

        def begin(rows, *what):
            return Mask(rows=torch.from_numpy(rows), filled=partial(masks._unpacked, *what))

        monkeypatch.setattr(ascii_llm.engine.runner.masks, "begin", begin)
    many = [[1] * 62, [2] * 20, [3] * 5]
    each = [
        params("(ab|ac|ba){3}"),
        SamplingParams(temperature=0, max_tokens=7),
        params("[a-z]+1", min_tokens=3),
    ]
    want = [o.outputs[0].token_ids for o in ascii_llm.generate(many, each, use_tqdm=False)]
    with InterruptAtLine(-1) as count:
        ascii_llm.generate(many, each, use_tqdm=False)
    total, engine = -1 - count.left, ascii_llm.engine
    assert total > 300
    for at in range(1, total, 29):
        jobs = ascii_llm._jobs(as_prompts(many), each)
        requests = [job.requests[0] for job in jobs]
        for r in requests:
            engine.add(r)
        try:
            with InterruptAtLine(at):
                while not all(r.finished for r in requests):
                    engine.step()
        except KeyboardInterrupt:
            while not all(r.finished for r in requests):
                engine.step()
        engine.settle()
        assert [r.output_ids for r in requests] == want, f"line {at}"
        assert engine.num_unfinished == 0
        assert ascii_llm.info().num_free_pages == ascii_llm.info().num_pages


def test_an_interrupted_generate_keeps_what_it_made(ascii_llm):
    long = params("[a-z]{90}", max_tokens=100)
    with pytest.raises(GenerationInterrupted) as caught, InterruptAtLine(900):
        ascii_llm.generate(["a", "b"], long, use_tqdm=False)
    for output in caught.value.outputs:
        made = output.outputs[0]
        assert made.finish_reason == "abort"
        assert re.fullmatch("[a-z]{0,89}", made.text)
    assert ascii_llm.engine.num_unfinished == 0
    assert ascii_llm.info().num_free_pages == ascii_llm.info().num_pages


def test_a_dead_end_ends_its_request_alone(ascii_llm, monkeypatch):
    """A grammar may need a character that this vocabulary lacks only once it is half-way."""
    engine, compiled = ascii_llm.engine, ascii_llm.intake.grammars
    assert isinstance(compiled.matcher(regex("aé|ab")), Matcher)
    jobs = ascii_llm._jobs(as_prompts(["x", "y"]), [params("[ab]{3}é"), params("[ab]{8}")])
    for job in jobs:
        engine.add(job.requests[0])
    while not all(job.finished for job in jobs):
        engine.step()
    dead, fine = (job.requests[0] for job in jobs)
    assert isinstance(dead.error, ParamError)
    assert "structured_outputs, after 3 tokens of output: no token" in str(dead.error)
    assert (dead.finish_reason, dead.num_output) == ("abort", 3)
    assert (fine.finish_reason, fine.num_output) == ("stop", 9)
    assert engine.num_unfinished == 0
