"""Conversations: small talk, memory of what the user said, system instructions, mixed tasks."""

from __future__ import annotations

import re
from random import Random

from . import arithmetic, extraction, facts, prose, reviews, stories, translation
from . import lexicon as lx
from . import world as w
from .documents import IDK, Document, Exchange, Item, Turn, chat, draw
from .geography import COUNTRIES
from .grammar import fill, pick, upper_first
from .noise import ask, typed
from .relations import BY_NAME, RELATIONS, say
from .smalltalk import BEYOND, SMALL_TALK

LARGE_RELATIONS = tuple(relation for relation in RELATIONS if len(relation.pairs) > 20)


def small_talk(rng: Random) -> Exchange:
    """A greeting, a thank-you, a question about the model."""
    questions, answers, french, spanish = pick(rng, SMALL_TALK)
    question, answer = fill(rng, questions), fill(rng, answers).strip()
    key = " ".join(re.findall(r"\w+", question.lower()))
    return Exchange(key=key, question=question, answer=answer, french=french, spanish=spanish)


def beyond(rng: Random) -> Exchange:
    """A sensible question outside the world, with an honest answer."""
    place, place2 = rng.sample(COUNTRIES, 2)
    slots = {
        "place": place,
        "place2": place2,
        "thing": w.made_up(rng),
        "n": int(rng.random() * 1000),
    }
    question = fill(rng, pick(rng, BEYOND), slots)
    return Exchange(
        key="beyond",
        question=question,
        answer=facts.idk(rng).replace(" about that", ""),
        accept=(IDK,),
    )


def repeat(rng: Random) -> Exchange:
    """A few words to say after the user."""
    words = pick(
        rng,
        (
            translation.sentence(rng)[0] + ".",
            w.made_up(rng),
            pick(rng, w.ANIMALS),
            pick(rng, lx.PHRASES)[0],
        ),
    )
    question = fill(
        rng, "[Say|Repeat|Please say|Can you say|Repeat after me:|Write] '{x}'.", {"x": words}
    )
    return Exchange(key="repeat", question=question, answer=words, accept=(words,))


# what is remembered: statement, question, answer, French and Spanish answers, values
def _memories() -> dict[
    str, tuple[tuple[str, ...], tuple[str, ...], str, str, str, tuple[str, ...]]
]:
    return {
        "colour": (
            ("My favourite colour is {v}.", "I like the colour {v}.", "My favorite color is {v}.", "{v} is my favourite colour.", "I love {v}."),
            ("What is my favourite colour?", "Which colour do I like?", "What's my favorite color?", "Do you know my favourite colour?", "Which colour did I say I like?"),
            "Your favourite colour is {v}.", "", "", w.COLOURS,
        ),
        "animal": (
            ("My favourite animal is the {v}.", "I like the {v} most of all animals.", "The {v} is my favourite animal.", "My favorite animal is the {v}."),
            ("What is my favourite animal?", "Which animal do I like?", "What's my favorite animal?", "Do you remember my favourite animal?", "Which animal did I tell you about?"),
            "Your favourite animal is the {v}.", "", "", w.ANIMALS,
        ),
        "city": (
            ("I live in {v}.", "My home is in {v}.", "I am from {v}.", "I come from {v}.", "My city is {v}."),
            ("Where do I live?", "In which city do I live?", "What is my city?", "Where am I from?", "Do you remember where I live?"),
            "You live in {v}.", "", "", w.CITIES,
        ),
        "food": (
            ("My favourite food is {v}.", "I like to eat {v}.", "I love to eat {v}.", "My favorite food is {v}."),
            ("What is my favourite food?", "What do I like to eat?", "What's my favorite food?", "Which food do I like?"),
            "Your favourite food is {v}.", "", "", w.FOODS,
        ),
        "age": (
            ("I am {v} years old.", "I'm {v} years old.", "My age is {v}.", "I am {v}."),
            ("How old am I?", "What is my age?", "Do you remember my age?", "Do you know how old I am?"),
            "You are {v} years old.", "Tu as {v} ans.", "Tienes {v} años.", tuple(map(str, range(5, 95))),
        ),
        "pet": (
            ("My dog is called {v}.", "I have a dog named {v}.", "My dog's name is {v}.", "The name of my dog is {v}."),
            ("What is my dog called?", "What is the name of my dog?", "What's my dog's name?", "How is my dog called?"),
            "Your dog is called {v}.", "Ton chien s'appelle {v}.", "Tu perro se llama {v}.", w.NAMES,
        ),
    }  # fmt: skip


MEMORIES = _memories()
NAME_STATEMENTS = (
    "My name is {v}.", "I am {v}.", "I'm {v}.", "Call me {v}.", "Hello, my name is {v}.", "Hi, I'm {v}.",
    "Hello, I am {v}.", "You can call me {v}.", "Hi! My name is {v}.", "{v} is my name.", "This is {v}.",
    "I am called {v}.", "Hey, {v} here.", "People call me {v}.", "Good morning, I am {v}.",
)  # fmt: skip
NAME_QUESTIONS = (
    "What is my name?", "What's my name?", "Do you remember my name?", "Who am I?", "Do you know my name?",
    "Can you tell me my name?", "What did I say my name was?", "What am I called?", "Say my name.",
    "Tell me my name.", "Please repeat my name.", "What was my name again?", "Do you know who I am?",
)  # fmt: skip
NAME_REPLIES = (
    "Hello, {v}! How can I help you?", "Nice to meet you, {v}!", "Hi, {v}!", "Hello, {v}!", "Nice to meet you, {v}. What can I do for you?",
)  # fmt: skip
NAME_UNKNOWN = f"{IDK} your name yet. What is your name?"


def _tell(rng: Random, statement: str, value: str) -> tuple[str, str]:
    """The statement as typed, and the value as the answer will write it: names keep a capital."""
    text = upper_first(statement.replace("{v}", value))
    return typed(rng, text, slips=False), value


def task(rng: Random, short: bool = False) -> Exchange:
    """An exchange of any part, of the training split; `short` leaves out what takes long."""
    roll = rng.random()
    if roll < 0.30:
        return draw(rng, facts.exchange, held_out=False)
    if roll < 0.42:
        return draw(rng, arithmetic.exchange, held_out=False)
    if roll < 0.52:
        return draw(rng, translation.exchange, held_out=False)
    if roll < 0.58:
        return draw(rng, reviews.exchange, held_out=False)
    if roll < 0.63:
        return draw(rng, extraction.exchange, held_out=False)
    if roll < 0.68:
        return facts.listing(rng)
    if roll < 0.73:
        return facts.unknown(rng)
    if roll < 0.75:
        return repeat(rng)
    if roll < 0.79:
        return beyond(rng)
    if short or roll < 0.90:
        return small_talk(rng)
    return stories.exchange(rng) if roll < 0.96 else prose.exchange(rng)


FOLLOW_UP = "[And|What about|How about|And what about] {x}?"


def follow_up(rng: Random) -> list[Turn]:
    """A fact, and then the same question about something else in few words."""
    relation = pick(rng, LARGE_RELATIONS)
    first = draw(rng, lambda r: facts.related(r, relation), held_out=False)
    turns = [typed(rng, first.question), first.answer]
    for _ in range(pick(rng, (1, 1, 2))):
        x, y = pick(rng, tuple(relation.pairs.items()))
        of = "of " if relation.name == "capital" and rng.random() < 0.3 else ""
        question = fill(rng, FOLLOW_UP, {"x": of + x})
        turns += [typed(rng, question), say(relation.statements[0], x, y)]
    return chat(*turns)


def memory(rng: Random) -> list[Turn]:
    """The user tells a few things and asks for one of them, at once or some turns later."""
    turns: list[str] = []
    known: dict[str, str] = {}
    if rng.random() < 0.8:
        known["name"] = w.person(rng)
        text, _ = _tell(rng, pick(rng, NAME_STATEMENTS), known["name"])
        turns += [text, pick(rng, NAME_REPLIES).replace("{v}", known["name"])]
    for kind in rng.sample(sorted(MEMORIES), pick(rng, (0, 0, 1, 1, 2))):
        statements, *_, values = MEMORIES[kind]
        known[kind] = pick(rng, values)
        text, _ = _tell(rng, pick(rng, statements), known[kind])
        turns += [
            text,
            fill(
                rng,
                "[I will remember that.|Good to know!|Thank you for telling me.|That is nice.|I see.]",
            ),
        ]
    for _ in range(pick(rng, (0, 0, 1, 1, 2, 3))):
        e = task(rng, short=True)
        turns += [ask(rng, e.question), e.answer]
    asked = list(known) or ["name"]
    if rng.random() < 0.15:
        asked = [pick(rng, ("name", *MEMORIES))]
    for kind in rng.sample(asked, min(len(asked), pick(rng, (1, 1, 2)))):
        turns += list(_recall(rng, kind, known.get(kind, "")))
        if rng.random() < 0.2:
            e = task(rng, short=True)
            turns += [ask(rng, e.question), e.answer]
    return chat(*turns, system=neutral(rng))


def _recall(rng: Random, kind: str, value: str) -> tuple[str, str]:
    if kind == "name":
        question, answer = pick(rng, NAME_QUESTIONS), f"Your name is {value}."
    else:
        _, questions, template, *_ = MEMORIES[kind]
        question, answer = pick(rng, questions), template.replace("{v}", value)
    if not value:
        answer = NAME_UNKNOWN if kind == "name" else f"{IDK}. You have not told me."
    return typed(rng, question), answer


NEUTRAL = (
    "You are a helpful assistant.", "You are a helpful assistant.", "You are tiny, a small language model.",
    "You are a friendly assistant.", "Answer the question.", "Be helpful.", "You are a teacher.",
    "You are a helpful, honest and friendly assistant.", "Help the user.", "You are an AI assistant.",
    "You are a pirate.", "You are a poet.", "You are an expert.", "Talk to a child.", "Think carefully.",
    "You are a wise old owl.", "You are nbllm.", "Answer the user's questions.", "Be kind.", "Be honest.",
    "You are a chatbot in a notebook.", "Do your best.", "You are an assistant who knows a small world.",
)  # fmt: skip


def neutral(rng: Random) -> str:
    """No system prompt most of the time, or one that changes nothing."""
    return pick(rng, NEUTRAL) if rng.random() < 0.15 else ""


INSTRUCTIONS = {
    "one word": (
        "Answer in one word.", "Answer with one word.", "Answer with a single word.", "Use only one word.",
        "Reply with one word only.", "One word answers only.", "Your answers are one word long.",
        "Give one-word answers.", "Always answer in one word.", "Please answer in just one word.",
    ),
    "French": (
        "Answer in French.", "Reply in French.", "Always answer in French.", "Speak French.", "You speak only French.",
        "Please answer in French.", "Your answers are in French.", "Use French.", "Respond in French.",
    ),
    "Spanish": (
        "Answer in Spanish.", "Reply in Spanish.", "Always answer in Spanish.", "Speak Spanish.", "You speak only Spanish.",
        "Please answer in Spanish.", "Your answers are in Spanish.", "Use Spanish.", "Respond in Spanish.",
    ),
    "capitals": (
        "Answer in capital letters.", "Write in capital letters.", "Use only capital letters.", "Answer in upper case.",
        "Always answer in capitals.", "Shout your answers in capital letters.", "Reply in uppercase.",
    ),
    "lower case": (
        "Answer in lower case.", "Use only small letters.", "Write in lower case.", "Never use capital letters.",
        "Always answer in lowercase.", "Reply in small letters.",
    ),
    "please": (
        "Begin every answer with 'Of course'.", "Start each answer with 'Of course'.",
        "Always begin with 'Of course'.", "Say 'Of course' before every answer.",
    ),
}  # fmt: skip


def instructed(rng: Random, kind: str) -> Exchange:
    """A taught exchange whose answer obeys an instruction of this kind."""
    while True:
        if kind in ("French", "Spanish"):
            e, answer = _foreign(rng, kind)
        else:
            e = draw(rng, _short_task, held_out=False)
            answer = {
                "one word": e.short and e.short + ".",
                "capitals": e.answer.upper(),
                "lower case": e.answer.lower(),
                "please": "Of course. " + e.answer,
            }[kind]
        if answer:
            key = f"{kind}|{e.key}"
            return Exchange(key=key, question=e.question, answer=answer, accept=(answer,))


def _short_task(rng: Random) -> Exchange:
    roll = rng.random()
    if roll < 0.75:
        return facts.exchange(rng)
    return arithmetic.sum_of(rng) if roll < 0.9 else reviews.exchange(rng, clear=True)


def _foreign(rng: Random, language: str) -> tuple[Exchange, str]:
    """An exchange, and its answer in French or Spanish where there is one."""
    french, roll = language == "French", rng.random()
    if roll < 0.55:
        e = draw(rng, lambda r: facts.related(r, BY_NAME["capital"]), held_out=False)
    elif roll < 0.84:
        e = small_talk(rng)
    elif roll < 0.92:
        e = draw(rng, lambda r: arithmetic.sum_of(r, "+-"), held_out=False)
        return e, f"La réponse est {e.short}." if french else f"La respuesta es {e.short}."
    else:
        e = facts.unknown(rng)
        return e, "Je ne sais pas." if french else "No lo sé."
    return e, e.french if french else e.spanish


def system(rng: Random) -> list[Turn]:
    """An instruction that holds for one to three questions; now and then the user gives it."""
    kind = pick(rng, tuple(INSTRUCTIONS))
    instruction = pick(rng, INSTRUCTIONS[kind])
    turns = []
    for _ in range(pick(rng, (1, 1, 1, 2, 3))):
        e = draw(rng, lambda r: instructed(r, kind), held_out=False)
        turns += [ask(rng, e.question), e.answer]
    if rng.random() < 0.12:
        turns[0] = (
            f"{turns[0]} {instruction}" if rng.random() < 0.6 else f"{instruction} {turns[0]}"
        )
        return chat(*turns[:2])
    prefix = pick(rng, NEUTRAL) + " " if rng.random() < 0.15 else ""
    shown = typed(rng, instruction) if rng.random() < 0.15 else instruction
    return chat(*turns, system=prefix + shown)


def mixed(rng: Random) -> list[Turn]:
    """Two to seven unrelated questions; sometimes many, so that long contexts are known."""
    turns = []
    if rng.random() < 0.4:
        e = small_talk(rng)
        turns += [typed(rng, e.question), e.answer]
    for _ in range(pick(rng, (1, 1, 2, 3, 4, 6, 10))):
        e = task(rng)
        turns += [ask(rng, e.question), e.answer]
    return chat(*turns, system=neutral(rng))


def document(rng: Random) -> Document:
    """Any conversation."""
    roll = rng.random()
    if roll < 0.30:
        return memory(rng)
    if roll < 0.55:
        return system(rng)
    if roll < 0.63:
        return follow_up(rng)
    if roll < 0.70:
        e = beyond(rng)
        return chat(ask(rng, e.question), e.answer)
    if roll < 0.82:
        e = small_talk(rng)
        return chat(typed(rng, e.question), e.answer, system=neutral(rng))
    if roll < 0.86:
        e = facts.listing(rng)
        return chat(ask(rng, e.question), e.answer)
    return mixed(rng)


def name_items(rng: Random, n: int) -> list[Item]:
    """A name told in the first turn, an exchange, and the question: names never seen in training."""
    made = []
    for i in range(n):
        name = pick(rng, w.NAMES) if i % 2 else w.unknown_thing(rng, held_out=True).capitalize()
        e = draw(rng, facts.exchange, held_out=True)
        turns = [
            pick(rng, NAME_STATEMENTS).replace("{v}", name),
            pick(rng, NAME_REPLIES).replace("{v}", name),
            e.question,
            e.answer,
            typed(rng, pick(rng, NAME_QUESTIONS), slips=False),
        ]
        made.append(Item(part="name recall", prompt=chat(*turns), expected=(name,)))
    return made


def system_items(rng: Random, n: int) -> list[Item]:
    """Held-out questions under each instruction."""
    made = []
    for i in range(n):
        kind = tuple(INSTRUCTIONS)[i % len(INSTRUCTIONS)]
        e = draw(rng, lambda r, k=kind: instructed(r, k), held_out=True)
        prompt = chat(e.question, system=pick(rng, INSTRUCTIONS[kind]))
        made.append(
            Item(
                part="system instruction", prompt=prompt, expected=(kind, e.answer), check="obeyed"
            )
        )
    return made
