"""Questions and answers about the closed world, and honest answers about what lies outside it."""

from __future__ import annotations

import re
from random import Random

from . import geography as g
from . import world as w
from .documents import IDK, Document, Exchange, Item, chat, draw, is_held_out
from .grammar import an, fill, join, pick, upper_first
from .knowledge import SINGLE_FACTS, UNKNOWN_SUBJECTS
from .noise import ask, typed
from .relations import BY_NAME, RELATIONS, Relation, say

# One relation in five is drawn as a capital: there are the most of them to learn.
_WEIGHTED = RELATIONS + (BY_NAME["capital"],) * 6 + (BY_NAME["opposite"], BY_NAME["plural"]) * 2

FORMS = ("Q: {q}\nA: {a}", "Question: {q}\nAnswer: {a}")
BARE_FORMS = ("{q} {a}", "{q}\n{a}")
ASKING = re.compile(r"(What|Which|Who|How|Where|When|Why|Is|Are|Do|Does)\b")
"""How a question begins that is told from a statement by its first word: only such a question
stands bare in a text, since "The capital of Ghana is" should go on with Accra and not with "what?"."""
IDK_ENDINGS = (
    ".",
    " that.",
    " the answer to that.",
    " anything about {x}.",
    " about {x}.",
    ", I am only a small model.",
)


ELLIPTIC = "What is the "


def exchange(rng: Random) -> Exchange:
    """A fact as a question and its answer."""
    roll = rng.random()
    if roll < 0.2:
        return single(rng)
    if roll < 0.26:
        return verification(rng)
    return related(rng, pick(rng, _WEIGHTED))


def related(rng: Random, relation: Relation) -> Exchange:
    """A question about one pair of a relation."""
    x, y = pick(rng, tuple(relation.pairs.items()))
    i = int(rng.random() * len(relation.questions))
    answer = say(
        pick(rng, relation.statements) if rng.random() < 0.3 else relation.statements[0], x, y
    )
    if rng.random() < 0.12:
        answer = upper_first(y) + "."
    french = spanish = ""
    if relation.name == "capital" and x in g.FRENCH:
        french = "La capitale {} est {}.".format(*g.FRENCH[x])
        spanish = "La capital {} es {}.".format(*g.SPANISH[x])
    return Exchange(
        key=f"{relation.name}|{i}|{x}",
        question=say(relation.questions[i], x, y),
        answer=answer,
        short=upper_first(y) if " " not in y else "",
        french=french,
        spanish=spanish,
        accept=relation.accept.get(x, (y,)),
    )


def single(rng: Random) -> Exchange:
    """A question about a fact that stands alone."""
    questions, statement, short = pick(rng, SINGLE_FACTS)
    question = pick(rng, questions)
    asked = question
    if question.startswith(ELLIPTIC) and rng.random() < 0.12:
        asked = upper_first(question[len(ELLIPTIC) :])
    # The third phrasing of a fact is only ever taught whole: a single fact has too few to hold out.
    key = f"single|{question}" if question == questions[1] else "single"
    return Exchange(
        key=key,
        question=asked,
        answer=statement if rng.random() < 0.9 else upper_first(short) + ".",
        short=upper_first(short) if " " not in short else "",
        accept=(short,),
    )


VERIFICATIONS = {
    "capital": (
        "Is {y} the capital of {x}?",
        "Is the capital of {x} {y}?",
        "Is {y} the capital city of {x}?",
        "Is {x}'s capital {y}?",
    ),
    "opposite": (
        "Is {y} the opposite of {x}?",
        "Is the opposite of {x} {y}?",
        "Are {x} and {y} opposites?",
    ),
    "colour": ("Is {x} {y}?", "Is the colour of {x} {y}?", "Is the color of {x} {y}?"),
    "continent": ("Is {x} in {y}?", "Is {x} a country in {y}?", "Is the continent of {x} {y}?"),
    "language": (
        "Do people in {x} speak {y}?",
        "Do they speak {y} in {x}?",
        "Is {y} spoken in {x}?",
        "Is the language of {x} {y}?",
    ),
    "plural": (
        "Is {y} the plural of {x}?",
        "Is the plural of {x} {y}?",
        "Is {y} the plural form of {x}?",
    ),
}


def verification(rng: Random) -> Exchange:
    """Whether a statement about a pair is true; a false one is put right."""
    name = pick(rng, ("capital", *VERIFICATIONS))
    relation = BY_NAME[name]
    x, right = pick(rng, tuple(relation.pairs.items()))
    y = right if rng.random() < 0.5 else pick(rng, tuple(relation.pairs.values()))
    questions = VERIFICATIONS[name]
    i = int(rng.random() * len(questions))
    short = "Yes" if y == right else "No"
    return Exchange(
        # The phrasing is part of the key: were it the pair alone, the right answer of a held-out
        # pair would never be confirmed in training, and "No" would be learnt for its x.
        key=f"is|{i}|{x}|{y}",
        question=fill(rng, questions[i], {"x": x, "y": y}),
        answer=f"{short}, {_lower_first(say(relation.statements[0], x, right), x)}",
        short=short,
        accept=(short,),
    )


def _lower_first(text: str, x: str) -> str:
    return text if text.startswith(x) else text[0].lower() + text[1:]


def unknown(rng: Random, held_out: bool = False) -> Exchange:
    """A question about something that does not exist, with an honest answer."""
    place, thing = w.unknown_place(rng, held_out), w.unknown_thing(rng, held_out)
    relation = pick(rng, _WEIGHTED)
    while relation.name in ("next month", "previous month", "next day", "previous day", "season",
                            "month number", "day number", "days in month"):  # fmt: skip
        relation = pick(rng, _WEIGHTED)
    x = place if relation.name in ("capital", "country", "continent", "language") else thing
    if rng.random() < 0.3:
        x = unknown_subject(rng, held_out)
        question = fill(rng, pick(rng, ABOUT_UNKNOWN), {"x": x})
    else:
        question = say(pick(rng, relation.questions), x, x)
    return Exchange(key=x, question=question, answer=idk(rng, x), short="", accept=(IDK,))


ABOUT_UNKNOWN = (
    "[Who is|Who was|What is|Where is|What does|What was] {x}?",
    "[Tell me about|Explain|Describe|What do you know about|Define] {x}.",
    "[Who invented|Who discovered|Who wrote|Who made|Who painted] {x}?",
    "[How does|Why does|When does] {x} work?",
    "[Do you know|Have you heard of|What can you tell me about] {x}?",
)


def unknown_subject(rng: Random, held_out: bool) -> str:
    """Somebody or something that the model was never told about, of the wanted split."""
    while True:
        roll = rng.random()
        if roll < 0.4:
            x = pick(rng, UNKNOWN_SUBJECTS)
        elif roll < 0.7:
            x = f"{w.person(rng)} {w.made_up(rng)}"
        else:
            x = w.made_up(rng)
        if is_held_out(x) == held_out:
            return x


def idk(rng: Random, x: str = "that") -> str:
    """An honest answer."""
    return IDK + pick(rng, IDK_ENDINGS).replace("{x}", x)


def document(rng: Random) -> Document:
    """A chat of one question, a question-answer text, or statements about the world."""
    roll = rng.random()
    if roll < 0.45:
        e = draw(rng, exchange, held_out=False)
        return chat(ask(rng, e.question), e.answer)
    if roll < 0.53:
        e = unknown(rng)
        return chat(ask(rng, e.question), e.answer)
    if roll < 0.63:
        bare = rng.random() < 0.5
        form = pick(rng, BARE_FORMS if bare else FORMS)
        exchanges = [_taught(rng, bare) for _ in range(pick(rng, (1, 1, 2, 3, 4)))]
        return "\n".join(
            form.replace(
                "{q}", typed(rng, e.question) if rng.random() < 0.2 else e.question
            ).replace("{a}", e.answer)
            for e in exchanges
        )
    if roll < 0.93:
        return statements(rng)
    return country_text(rng)


def _taught(rng: Random, bare: bool) -> Exchange:
    """An exchange of the training split; for a bare form, one that asks from its first word on."""
    while True:
        e = draw(rng, exchange, held_out=False)
        if not bare or ASKING.match(e.question):
            return e


def statement(rng: Random, held_out: bool = False) -> tuple[str, str]:
    """A fact as a sentence of the wanted split, and its last word or words."""
    while True:
        relation = pick(rng, _WEIGHTED)
        x, y = pick(rng, tuple(relation.pairs.items()))
        i = int(rng.random() * len(relation.statements))
        if is_held_out(f"{relation.name}|s{i}|{x}") == held_out:
            return say(relation.statements[i], x, y), y


def statements(rng: Random) -> str:
    """One to five facts, one after the other; sometimes carelessly typed."""
    if rng.random() < 0.15:
        return pick(rng, SINGLE_FACTS)[1]
    sentences = [statement(rng)[0] for _ in range(pick(rng, (1, 1, 1, 2, 3, 5)))]
    if rng.random() < 0.15:
        first = sentences[0]
        sentences[0] = first.lower() if rng.random() < 0.7 else first[:1].lower() + first[1:]
    return " ".join(sentences)


def country_text(rng: Random) -> str:
    """A few sentences about one country."""
    x = pick(rng, g.COUNTRIES)
    sentences = []
    for name in rng.sample(("capital", "continent", "language"), 3):
        relation = BY_NAME[name]
        free = [i for i in range(len(relation.statements)) if not is_held_out(f"{name}|s{i}|{x}")]
        if free:
            sentences.append(say(relation.statements[pick(rng, free)], x, relation.pairs[x]))
    return " ".join(sentences[: pick(rng, (2, 3))])


def listing(rng: Random) -> Exchange:
    """A request for some things of a kind."""
    if rng.random() < 0.15:
        kind = pick(rng, tuple(w.SINGULAR_CATEGORY))
        a = an(w.SINGULAR_CATEGORY[kind])
        word = pick(rng, w.CATEGORIES[kind])
        question = fill(rng, "[Name|Tell me|Give me|Say|I need] {a}.", {"a": a})
        return Exchange(
            key="list", question=question, answer=upper_first(word) + ".", accept=(word,)
        )
    kind = pick(rng, tuple(w.CATEGORIES))
    n = pick(rng, (2, 3, 3, 4, 5))
    words = rng.sample(w.CATEGORIES[kind], min(n, len(w.CATEGORIES[kind])))
    if kind in ("months", "days"):
        words = w.CATEGORIES[kind][:n]
    n = len(words)
    count = w.NUMBERS[n] if rng.random() < 0.7 else str(n)
    template = pick(
        rng,
        (
            "[Name|List|Give me|Tell me|Write down|Show me] {n} {kind}.",
            "[Can you name|Can you list|Can you give me] {n} {kind}?",
            "[Write|Make|Give me] a list of {n} {kind}.",
            "What are {n} {kind}?",
            "{n} {kind}",
        ),
    )
    question = upper_first(fill(rng, template, {"n": count, "kind": kind}))
    if "list of" in question and rng.random() < 0.4:
        answer = "\n".join(f"{i}. {word}" for i, word in enumerate(words, 1))
    else:
        answer = upper_first(join(words)) + "."
    return Exchange(
        key=f"list|{kind}|{n}|{template}", question=question, answer=answer, accept=tuple(words)
    )


def items(rng: Random, n: int) -> list[Item]:
    """Held-out questions and completions: phrasings of known facts that were never taught."""
    made = []
    for i in range(n):
        if i % 3 == 2:
            sentence, y = statement(rng, held_out=True)
            prompt: Document = sentence[: sentence.rindex(y)].rstrip(" '")
            made.append(Item(part="facts", prompt=prompt, expected=(y,), check="starts"))
        else:
            e = draw(rng, exchange, held_out=True)
            made.append(
                Item(
                    part="facts",
                    prompt=chat(typed(rng, e.question, slips=False)),
                    expected=e.accept,
                )
            )
    return made


def capital_items(rng: Random, n: int) -> list[Item]:
    """Held-out questions about capitals alone."""
    capital = BY_NAME["capital"]
    exchanges = (draw(rng, lambda r: related(r, capital), held_out=True) for _ in range(n))
    return [
        Item(part="capitals", prompt=chat(typed(rng, e.question, slips=False)), expected=e.accept)
        for e in exchanges
    ]


def unknown_items(rng: Random, n: int) -> list[Item]:
    """Questions about made-up things that training never saw."""
    exchanges = (unknown(rng, held_out=True) for _ in range(n))
    return [
        Item(part="unknown", prompt=chat(typed(rng, e.question, slips=False)), expected=(IDK,))
        for e in exchanges
    ]
