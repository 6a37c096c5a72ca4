"""The recipe of the bundled model: its grammar, its split, its packing, its training."""

import itertools
import json
import re
from dataclasses import replace
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from nbllm.assets.recipe import (
    arithmetic,
    checks,
    conversation,
    corpus,
    evaluate,
    facts,
    grammar,
    model,
    noise,
    paraphrases,
    reviews,
    stories,
    tokenizer,
    train,
    translation,
)
from nbllm.assets.recipe.documents import BOS, END, PAD, chat, is_held_out, render
from nbllm.assets.recipe.settings import FULL, SMALL

TINY = replace(
    SMALL, hidden_size=32, num_layers=2, intermediate_size=48, vocab_size=700, row_length=96,
    documents=1200, shards=2, rows_per_step=4, steps=8, warmup_steps=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def sample() -> list[str]:
    """Twenty thousand training documents as text."""
    return [text for _, text in corpus.texts("a test", 20_000)]


@pytest.fixture(scope="module")
def bpe(tmp_path_factory):
    """(path, tokenizer) of a small vocabulary."""
    path = tmp_path_factory.mktemp("bpe")
    texts = (corpus.plain(text) for _, text in corpus.texts("bpe", 2_000))
    made = tokenizer.train(texts, TINY.vocab_size)
    tokenizer.save(made, path, 2048)
    return path, made


@pytest.fixture(scope="module")
def rows(bpe, tmp_path_factory) -> np.ndarray:
    target = tmp_path_factory.mktemp("shard") / "shard.npy"
    corpus.write_shard((TINY, 0, bpe[0] / "tokenizer.json", target))
    return np.load(target)


def test_grammar_expands_choices_and_slots():
    seen = {grammar.fill(Random(i), "[a|b [c|{x}]] {x}!", {"x": 7}) for i in range(50)}
    assert seen == {"a 7!", "b c 7!", "b 7 7!"}


def test_grammar_refuses_an_unbalanced_bracket():
    with pytest.raises(ValueError, match="unbalanced"):
        grammar.parse("a] b")


@pytest.mark.parametrize(
    ("noun", "phrase"), [("owl", "an owl"), ("fox", "a fox"), ("unicorn", "a unicorn")]
)
def test_articles(noun, phrase):
    assert grammar.an(noun) == phrase


def test_noise_leaves_half_alone_and_keeps_the_words():
    typed = [
        noise.typed(Random(i), "What is the capital of Italy?", slips=False) for i in range(400)
    ]
    assert 0.4 < sum(t == "What is the capital of Italy?" for t in typed) / 400 < 0.65
    words = {re.sub(r"[^a-z ]", "", t.lower()).strip() for t in typed}
    assert words == {"what is the capital of italy", "whats the capital of italy"}


def test_every_document_renders_with_one_begin_and_no_open_slot(sample):
    for text in sample[:5_000]:
        assert text.startswith(BOS)
        assert text.endswith(END)
        assert text.count(BOS) == 1
        assert not re.search(r"\[[^\]]*\|[^\]]*\]", text.replace("|>", "")), text
        assert not re.search(r"(?<!\")\{[a-z_0-9]+\}", text), text


def test_a_shard_is_a_function_of_the_seed():
    assert list(corpus.texts("1/3", 200)) == list(corpus.texts("1/3", 200))
    assert list(corpus.texts("1/3", 200)) != list(corpus.texts("2/3", 200))


def test_held_out_sums_are_never_taught(sample):
    sums = re.findall(r"(?<![\d-])(\d{1,2}) ?([+-]) ?(\d{1,2}) ?(?:=|is|equals)", "\n".join(sample))
    assert len(sums) > 3_000
    assert not [s for s in sums if is_held_out(arithmetic.key_of(int(s[0]), s[1], int(s[2])))]


def test_held_out_translations_are_never_taught(sample):
    texts = "\n".join(sample)
    pairs = re.findall(r"English: (.+?)\.?\n(French|Spanish): (.+)", texts)
    assert len(pairs) > 500
    taught = {f"{english}|{language}" for english, language, _ in pairs}
    assert not [key for key in taught if is_held_out(key) and is_sentence(key)]


def is_sentence(key: str) -> bool:
    """Phrases and single words are always taught; sentences have a verb and end without a mark."""
    english = key.split("|")[0]
    return english.startswith(("The ", "My ", "This ", "Two ")) and len(english.split()) > 2


def test_held_out_phrasings_of_a_capital_are_never_taught(sample):
    rng = Random(0)
    texts = "\n".join(sample + [render(facts.document(rng)) for _ in range(30_000)])
    taught = set(re.findall(r"<\|user\|>What is the capital of ([A-Z][\w ]+)\?<", texts))
    capital = facts.BY_NAME["capital"]
    i = capital.questions.index("What is the capital of {x}?")
    held = {x for x in capital.pairs if is_held_out(f"capital|{i}|{x}")}
    assert len(held) > 5
    assert len(taught) > 30
    assert not taught & held


def test_held_out_reviews_are_never_taught(sample):
    taught = re.findall(r"Review: (.+?)\s(?:Sentiment|Topic):", "\n".join(sample))
    held = {text for text in taught if is_held_out(text)}
    # A review typed carelessly is another text, so a few hashes fall on the held-out side.
    assert len(taught) > 500
    assert len(held) < 0.02 * len(taught)


def test_paraphrases_are_in_no_template(sample):
    more = [text for _, text in corpus.texts("more", 40_000)]
    asked = {plain(t) for text in sample + more for t in re.findall(r"<\|user\|>(.*?)<\|end", text)}
    assert len(paraphrases.PARAPHRASES) >= 60
    assert not [prompt for prompt, _ in paraphrases.PARAPHRASES if plain(prompt) in asked]


def plain(prompt: str) -> str:
    return re.sub(r"[^a-z0-9+*-]+", " ", prompt.lower()).strip()


def test_stories_of_the_corpus_meet_the_limits_of_the_model():
    told = [stories.tell(Random(i), stories.cast(Random(i))) for i in range(400)]
    assert np.mean([not checks.strangers(story) for story in told]) > 0.98
    assert np.mean([checks.most_repeated(story) <= 2 for story in told]) > 0.98
    assert checks.distinct(told[:200]) > 0.6


def test_mixed_reviews_are_labelled_by_a_fair_coin():
    rng = Random(0)
    labels = [reviews.label(rng, reviews.review(rng, mixed=True)[2]) for _ in range(2_000)]
    assert 0.45 < labels.count("positive") / len(labels) < 0.55


@pytest.mark.parametrize(
    ("english", "french", "spanish"),
    [
        ("The big cat", "le grand chat", "el gato grande"),
        ("This old tree", "ce vieil arbre", "este árbol viejo"),
        ("My white mouse", "ma souris blanche", "mi ratón blanco"),
    ],
)
def test_agreement(english, french, spanish):
    det, adjective, noun = english.lower().split()
    n = next(n for n in translation.lx.NOUNS if n.en == noun)
    a = next(a for a in translation.lx.ADJECTIVES if a.en == adjective)
    assert translation._french(n, det, False, a) == french
    assert translation._spanish(n, det, False, a) == spanish


def test_a_garden_path_is_likeliest_as_a_whole_and_not_at_its_start():
    rng = Random(0)
    drawn = [translation.garden_path(rng) for _ in range(6_000)]
    her = [e for e in drawn if " her " in e.question and e.short == "French"]
    right = [e.answer for e in her if e.answer == e.accept[0]]
    assert 0.3 < len(right) / len(her) < 0.5
    assert all(answer.startswith("La ") for answer in right)
    forms = {
        " ".join(re.sub(r"^Le \w+", "", e.answer).split(" ")[:3])
        for e in her
        if e.answer not in e.accept
    }
    assert len(forms) > 6


def test_instructions_are_obeyed_by_the_corpus():
    rng = Random(0)
    for kind in conversation.INSTRUCTIONS:
        for _ in range(100):
            answer = conversation.instructed(rng, kind).answer
            assert checks.obeyed(answer, (kind, answer)), (kind, answer)


def test_json_answers_parse():
    items = evaluate.heldout_items(40)["extraction"]
    assert all(checks.equal_json(item.expected[0], item.expected) for item in items)


@pytest.mark.parametrize(
    ("text", "expected", "right"),
    [
        ("25 - 9 = 16", ("16",), True),
        ("25 - 9 = 16", ("25",), False),
        ("The capital is Rome.", ("Rome",), True),
        ("The capital is Romeo.", ("Rome",), False),
        ("5 - 9 = -4", ("4",), False),
    ],
)
def test_contains(text, expected, right):
    assert checks.contains(text, expected) is right


def test_strangers():
    told = "Once, in a cave, lived a fox named Tom. Tom met Ida, an owl. Then Max laughed with Tom."
    assert checks.strangers(told) == {"Max"}


def test_digits_are_single_tokens_and_text_survives(bpe):
    _, made = bpe
    text = "12 + 345 = 357, l'été à Málaga → ok\n\n\tEnd"
    ids = made.encode(text).ids
    assert made.decode(ids) == text
    tokens = [made.id_to_token(i) for i in made.encode("a12 3").ids]
    assert [t for t in tokens if any(c.isdigit() for c in t)] == ["1", "2", "3"]
    assert ids[0] == made.token_to_id(BOS)


def test_the_chat_template_writes_what_training_wrote(bpe):
    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(bpe[0])
    turns = chat("Hi", "Hello!", "Bye", system="Be kind.")
    messages = [{"role": role, "content": content} for role, content in turns]
    rendered = auto.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert rendered == render(turns, prompt=True)
    ids = auto.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert ids == bpe[1].encode(rendered, add_special_tokens=False).ids
    assert auto("Hi").input_ids == bpe[1].encode("Hi").ids


def test_what_others_say_is_read_only(bpe):
    _, made = bpe
    turns = chat("Hi", "Hello!", "Bye", "See you", system="Be kind.")
    ids = made.encode(render(turns) + PAD, add_special_tokens=False).ids
    learnt = np.array(ids)[corpus.flagged(np.array(ids, np.uint16), made) >= 0]
    text = made.decode(learnt.tolist(), skip_special_tokens=False)
    assert text == "<|assistant|>Hello!<|end|><|assistant|>See you<|end|>"


def test_packing_keeps_documents_whole(rows, bpe):
    _, made = bpe
    bos, end, pad = (made.token_to_id(t) for t in (BOS, END, PAD))
    ids = rows.astype(np.int32) & 0x7FFF
    assert (ids[:, 0] == bos).all()
    for row in ids:
        ends = row[row != pad][-1]
        assert ends == end
        assert (row[1:][row[1:] == bos].size) == np.sum((row[:-1] == end) & (row[1:] == bos))
    assert (ids == pad).mean() < 0.15


def loss_of(net, rows, mask_of=model.dense_mask) -> torch.Tensor:
    return net(rows, mask_of(rows, 0))


def test_loss_does_not_look_into_other_documents():
    torch.manual_seed(0)
    net = model.Llama(TINY)
    one = torch.tensor([[0, 20, 21, 22, 0, 30, 31, 32]], dtype=torch.int16)
    other = one.clone()
    other[0, 1:4] = 50
    readonly = torch.tensor([[True] * 5 + [False] * 3])
    flagged = (torch.where(readonly, rows + corpus.READ_ONLY, rows) for rows in (one, other))
    assert torch.equal(*(loss_of(net, rows) for rows in flagged))


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_both_masks_are_the_same(rows):
    torch.manual_seed(0)
    net = model.Llama(TINY).requires_grad_(False)
    some = torch.from_numpy(rows[:3])
    assert torch.allclose(loss_of(net, some), loss_of(net, some, model.block_mask), atol=1e-5)


def test_export_is_the_model_that_was_trained(bpe, tmp_path):
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    net = model.Llama(TINY)
    model.export(net, TINY, tmp_path, bos=0, eos=1, pad=2)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    net.load_state_dict({k: v for k, v in loaded.state_dict().items() if k != "lm_head.weight"})
    ids = torch.randint(3, 700, (2, 40))
    ids[:, 0] = 0
    theirs = loaded(ids, labels=ids).loss
    assert torch.allclose(loss_of(net, ids.to(torch.int16)), theirs, atol=1e-5)
    assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"] is True


def run(rows, work, settings, resume=None) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    net = model.Llama(settings)
    train.train(net, rows, settings, bos=0, deadline=float("inf"), work=work, resume=resume)
    return net.state_dict()


def test_training_resumes_where_it_stopped(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 4)
    whole = run(rows, tmp_path, TINY)
    kept = []
    original = train.save

    def save(path, *args):
        original(path, *args)
        if args[-1].steps == 4:
            kept.append(path.rename(path.with_name("four.pt")))

    monkeypatch.setattr(train, "save", save)
    run(rows, tmp_path, TINY)
    resumed = run(rows, tmp_path, TINY, resume=kept[0])
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_clock_shortens_the_plan(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "LOG_EVERY", 5)
    settings = replace(TINY, steps=10_000)
    torch.manual_seed(0)
    net = model.Llama(settings)
    ticks = itertools.count(0, 0.1)  # five steps take a tenth of a second
    clock = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr(train, "time", clock)
    history = train.train(net, rows, settings, bos=0, deadline=2, work=tmp_path)
    assert history.steps == pytest.approx(5 + 2 / 0.02, abs=1)
    assert (tmp_path / "checkpoint.pt").exists()
    assert train.rate(history.steps - 1, history.steps, settings) < 0.05


def test_the_learning_rate_goes_up_stays_and_comes_down():
    rates = [train.rate(step, FULL.steps, FULL) for step in range(FULL.steps)]
    assert rates[0] == 1 / FULL.warmup_steps
    assert max(rates) == 1
    assert rates[FULL.steps // 2] == 1
    assert 0 < rates[-1] < 0.001


def test_a_saved_tokenizer_is_the_same(bpe):
    path, made = bpe
    loaded = Tokenizer.from_file(str(path / "tokenizer.json"))
    text = render(chat("What is 12 + 7?", "12 + 7 = 19"))
    assert loaded.encode(text).ids == made.encode(text).ids
