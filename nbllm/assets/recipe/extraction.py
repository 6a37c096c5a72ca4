"""Sentences into small JSON objects and lists."""

from __future__ import annotations

import json
from random import Random

from . import world as w
from .documents import Document, Exchange, Item, chat, draw, is_held_out
from .grammar import fill, join, pick, upper_first
from .noise import ask

THINGS = tuple(w.PLURAL)[:30]


def _person(rng: Random) -> tuple[str, dict[str, object]]:
    name, age, city, job = (
        w.person(rng),
        3 + int(rng.random() * 90),
        pick(rng, w.CITIES),
        pick(rng, w.CATEGORIES["jobs"]),
    )
    fields: dict[str, object] = {"name": name, "age": age, "city": city, "job": job}
    he = w.PRONOUNS.get(
        name, ("she", "her", "her") if rng.random() < 0.5 else ("he", "him", "his")
    )[0]
    slots = fields | {"he": he, "He": he.capitalize()}
    kind = pick(rng, ("nac", "nac", "na", "nc", "nj", "naj", "nacj"))
    template = {
        "nac": ("{name} is {age} years old and lives in {city}.", "{name}, {age}, lives in {city}.",
                "{name} lives in {city}. {He} is {age}.", "My name is {name}, I am {age} and I live in {city}.",
                "In {city} lives {name}, who is {age} years old."),
        "na": ("{name} is {age} years old.", "{name} is {age}.", "This is {name}, aged {age}.", "My friend {name} turned {age} today."),
        "nc": ("{name} lives in {city}.", "{name} comes from {city}.", "{name} was born in {city}."),
        "nj": ("{name} is a {job}.", "{name} works as a {job}.", "Our {job} is called {name}."),
        "naj": ("{name} is a {job} and is {age} years old.", "The {job} {name} is {age}.", "{name}, {age}, works as a {job}."),
        "nacj": ("{name} is a {job} in {city} and is {age} years old.", "{name} is {age}, lives in {city} and works as a {job}."),
    }[kind]  # fmt: skip
    order = {"n": "name", "a": "age", "c": "city", "j": "job"}
    return fill(rng, pick(rng, template), slots), {order[k]: fields[order[k]] for k in kind}


def _purchase(rng: Random) -> tuple[str, dict[str, object]]:
    name, item, n, price = (
        w.person(rng),
        pick(rng, THINGS),
        2 + int(rng.random() * 18),
        1 + int(rng.random() * 99),
    )
    template = pick(
        rng,
        (
            "{name} bought {n} {items} for {price} dollars.",
            "{name} [ordered|got] {n} {items} and paid {price} dollars.",
            "For {price} dollars, {name} bought {n} {items}.",
            "{n} {items} were sold to {name} for {price} dollars.",
        ),
    )
    items = w.PLURAL[item]
    text = fill(rng, template, {"name": name, "n": n, "items": items, "price": price})
    return text, {"name": name, "item": items, "count": n, "price": price}


def _event(rng: Random) -> tuple[str, dict[str, object]]:
    event = pick(
        rng,
        (
            "party",
            "meeting",
            "concert",
            "lesson",
            "dinner",
            "match",
            "trip",
            "exam",
            "wedding",
            "picnic",
        ),
    )
    day, city, hour = pick(rng, w.DAYS), pick(rng, w.CITIES), 1 + int(rng.random() * 12)
    if rng.random() < 0.5:
        template = "[The {e} is on {d} in {c}.|On {d} there is a {e} in {c}.|We have a {e} in {c} on {d}.|Come to the {e} in {c} on {d}!]"
        return fill(rng, template, {"e": event, "d": day, "c": city}), {
            "event": event,
            "day": day,
            "city": city,
        }
    template = "[The {e} is on {d} at {h} o'clock.|On {d} at {h} o'clock we have a {e}.|The {e} starts at {h} o'clock on {d}.]"
    return fill(rng, template, {"e": event, "d": day, "h": hour}), {
        "event": event,
        "day": day,
        "hour": hour,
    }


def _pet(rng: Random) -> tuple[str, dict[str, object]]:
    animal, colour, name = pick(rng, w.ANIMALS), pick(rng, w.COLOURS), w.person(rng)
    template = "[{n} is a {c} {a}.|My {c} {a} is called {n}.|We have a {c} {a} named {n}.|The {a} {n} is {c}.|Look at {n}, the {c} {a}!]"
    return fill(rng, template, {"n": name, "c": colour, "a": animal}), {
        "name": name,
        "animal": animal,
        "colour": colour,
    }


def _things(rng: Random) -> tuple[str, list[str]]:
    things = rng.sample(THINGS, pick(rng, (2, 3, 3, 4)))
    template = "[I bought {x} at the market.|On the table there are {x}.|She packed {x}.|We need {x}.|My bag is full: {x}.|Tom saw {x}.]"
    listed = [f"{pick(rng, ('a', 'the', 'my'))} {t}" for t in things]
    listed = [
        t.replace("a ", "an ", 1) if t.startswith("a ") and t[2] in "aeiou" else t for t in listed
    ]
    return fill(rng, template, {"x": join(listed)}), things


KINDS = (_person, _person, _purchase, _event, _pet)
OBJECT_REQUESTS = (
    "Extract {fields} as JSON: {text}",
    "Extract the {fields} [from this sentence |]as JSON: {text}",
    "Give me {fields} as JSON. {text}",
    "Turn this sentence into JSON with {fields}: {text}",
    "[Return|Write] a JSON object with {fields}: {text}",
    "{text} [Extract|Give me|Return] {fields} as JSON.",
    "Text: {text} Extract {fields} as JSON.",
    "Convert to JSON ({fields}): {text}",
)
BARE_REQUESTS = (
    "Extract JSON: {text}",
    "[Write|Turn|Convert|Put] this [sentence |]into JSON: {text}",
    "Convert to JSON: {text}",
    "To JSON: {text}",
    "{text} As JSON, please.",
)
LIST_REQUESTS = (
    "List the things in this sentence as a JSON array: {text}",
    "Extract the things as a JSON list: {text}",
    "Which things are in this sentence? Answer with a JSON array. {text}",
    "{text} Give me the things as a JSON array.",
    "JSON array of the things: {text}",
)
FORMS = ("Text: {text}\nJSON: {json}", "Sentence: {text}\nJSON: {json}", "{text}\nJSON: {json}")


def exchange(rng: Random) -> Exchange:
    """A sentence, what to extract, and the JSON."""
    if rng.random() < 0.2:
        text, things = _things(rng)
        answer = json.dumps(things)
        question = fill(rng, pick(rng, LIST_REQUESTS), {"text": text})
        return Exchange(key=text, question=question, answer=answer, accept=(answer,))
    text, record = pick(rng, KINDS)(rng)
    if rng.random() < 0.3:
        question = fill(rng, pick(rng, BARE_REQUESTS), {"text": text})
    else:
        names = list(record)
        if rng.random() < 0.4:
            names = rng.sample(names, 1 + int(rng.random() * len(names)))
        fields = join(names) if rng.random() < 0.7 else ", ".join(names)
        question = fill(rng, pick(rng, OBJECT_REQUESTS), {"text": text, "fields": fields})
        record = {name: record[name] for name in names}
    answer = json.dumps(record)
    return Exchange(key=text, question=question, answer=answer, accept=(answer,))


def text_form(rng: Random, held_out: bool, form: str) -> tuple[str, str]:
    """A text with its JSON in the plain form, and that JSON."""
    while True:
        text, record = pick(rng, KINDS)(rng)
        if is_held_out(text) == held_out:
            answer = json.dumps(record)
            return form.replace("{text}", text).replace("{json}", answer), answer


def pick_out(rng: Random) -> Exchange:
    """One value of a sentence, asked for in words."""
    text, record = pick(rng, KINDS)(rng)
    name = pick(rng, tuple(record))
    question = fill(
        rng,
        "[{text} What is the {f}?|What is the {f} in this sentence? {text}|Extract the {f}: {text}|Find the {f}. {text}]",
        {"text": text, "f": name},
    )
    short = str(record[name])
    return Exchange(
        key=text, question=question, answer=upper_first(short) + ".", short=short, accept=(short,)
    )


def document(rng: Random) -> Document:
    """A chat, or one to three texts each followed by its JSON."""
    roll = rng.random()
    if roll < 0.6:
        e = draw(rng, exchange, held_out=False)
        return chat(ask(rng, e.question) if rng.random() < 0.2 else e.question, e.answer)
    if roll < 0.75:
        e = draw(rng, pick_out, held_out=False)
        return chat(e.question, e.answer)
    form = pick(rng, FORMS)
    return "\n".join(text_form(rng, False, form)[0] for _ in range(pick(rng, (1, 1, 2, 3))))


def items(rng: Random, n: int) -> list[Item]:
    """Held-out sentences, three in four as chat."""
    made = []
    for i in range(n):
        if i % 4 == 3:
            text, answer = text_form(rng, True, FORMS[0])
            prompt: Document = text[: -len(answer)].rstrip()
        else:
            e = draw(rng, exchange, held_out=True)
            prompt, answer = chat(e.question), e.accept[0]
        made.append(Item(part="extraction", prompt=prompt, expected=(answer,), check="json"))
    return made
