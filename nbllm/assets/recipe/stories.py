"""Short stories: someone, somewhere, a trouble, some help and an ending, told in varied words.

A story names its characters when they first appear and afterwards speaks of these alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from . import scenery as s
from .documents import Document, Exchange, Item, chat
from .grammar import an, fill, pick, upper_first
from .noise import ask, typed
from .plots import (
    DETAILS,
    ENDINGS,
    FOUND,
    FOUND_END,
    FOUND_HELP,
    HABITS,
    LOST,
    LOST_END,
    LOST_HELP,
    OPENINGS,
    PLOTS,
    VISITOR,
    WISH,
    Plot,
)
from .world import ANIMALS, BOYS, COLOURS, GIRLS, NUMBERS, PLURAL_ANIMALS, made_up

Slots = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The hero, the friend, and the things of one story, as slots of the grammar."""

    slots: Slots
    kind: str
    name: str
    friend: str


def cast(rng: Random, kind: str = "", name: str = "", thing: str = "", place: str = "") -> Cast:
    """Characters and properties drawn at random where they are not given."""
    kind = kind or pick(rng, s.KINDS)
    friend_kind = pick(rng, s.KINDS)
    while friend_kind == kind:
        friend_kind = pick(rng, s.KINDS)
    name, he = _named(rng, kind, name)
    friend, f_he = _named(rng, friend_kind)
    while friend == name:
        friend, f_he = _named(rng, friend_kind)
    trait, friend_trait = rng.sample(s.TRAITS, 2)
    thing = thing or pick(rng, s.THINGS)
    spot, spot2 = rng.sample(s.SPOTS, 2)
    slots = {
        "n": name, "k": kind, "ak": an(kind), "t": trait, "atk": f"{an(trait)} {kind}",
        "f": friend, "fk": friend_kind, "afk": an(friend_kind), "ft": friend_trait,
        "aftk": f"{an(friend_trait)} {friend_kind}",
        "place": place or pick(rng, s.PLACES), "spot": spot, "spot2": spot2,
        "a_thing": thing, "thing": thing.split(" ", 1)[1].split(" of ")[0] if " " in thing else thing,
        "weather": pick(rng, s.WEATHER), "lesson": pick(rng, s.LESSONS),
        "then": pick(rng, ("one day", "at last", "in spring", "on a fine morning")),
    }  # fmt: skip
    slots |= {"atk_up": upper_first(slots["atk"]), "aftk_up": upper_first(slots["aftk"])}
    slots["himself"] = he[1] + "self"
    for prefix, (sub, obj, pos) in (("", he), ("f_", f_he)):
        slots |= {prefix + "he": sub, prefix + "him": obj, prefix + "his": pos}
        slots |= {prefix + "He": sub.capitalize(), prefix + "His": pos.capitalize()}
    return Cast(slots=slots, kind=kind, name=name, friend=friend)


def _named(rng: Random, kind: str, name: str = "") -> tuple[str, tuple[str, str, str]]:
    """A name and the pronouns that go with it and with the kind."""
    female = kind in s.FEMALE or (kind not in s.MALE and rng.random() < 0.5)
    if name:
        female = name in GIRLS or (name not in BOYS and female)
    name = name or pick(rng, GIRLS if female else BOYS)
    return name, ("she", "her", "her") if female else ("he", "him", "his")


ABOUT_A_THING = ((LOST, LOST_HELP, LOST_END), (FOUND, FOUND_HELP, FOUND_END))
"""The plots that turn about the thing of the cast."""


def tell(rng: Random, who: Cast, plots: Sequence[Plot] = PLOTS) -> str:
    """A story about this cast, with one of the plots."""
    plot = pick(rng, plots)
    parts = [pick(rng, OPENINGS)]
    if rng.random() < 0.2:
        parts.append("{weather}[| that day|, as always| over {place}].")
    habit = pick(rng, HABITS)
    if "{a_thing}" not in habit or plot[0] in (LOST, WISH, VISITOR):
        parts.append(habit)
    parts += [pick(rng, variants) for variants in plot]
    parts.append(pick(rng, ENDINGS))
    for detail in rng.sample(DETAILS, pick(rng, (0, 1, 1, 2))):
        # Not before the hero is named, and not after the end.
        parts.insert(1 + int(rng.random() * (len(parts) - 2)), detail)
    text = " ".join(filter(None, (fill(rng, part, _fresh(rng, who.slots)) for part in parts)))
    if rng.random() < 0.1:
        text = text.replace(". ", ".\n", 1)
    return text


def _fresh(rng: Random, slots: Slots) -> Slots:
    """The slots of a story, with small things that are new in every sentence."""
    m1, m2, m3 = rng.sample(s.SMALL_THINGS, 3)
    colour, colour2 = rng.sample(COLOURS, 2)
    food, food2 = rng.sample(s.DISHES, 2)
    animal = pick(rng, ANIMALS)
    number = NUMBERS[2 + int(rng.random() * 11)]
    return slots | {
        "m1": m1, "m2": m2, "m3": m3, "colour": colour, "colour2": colour2, "food": food, "food2": food2,
        "animals": PLURAL_ANIMALS[animal], "an_animal": an(animal), "adj": pick(rng, s.QUALITIES),
        "num": number, "num_up": upper_first(number), "doing": pick(rng, s.DOINGS),
        "day": pick(rng, ("day", "morning", "evening", "night", "summer", "winter", "week")),
        "time": pick(rng, s.TIMES) if rng.random() < 0.5 else fill(rng, s.COMPOSED_TIME),
    }  # fmt: skip


REQUESTS = (
    "[Tell|Read|Give] me a [short |little |nice |]story[.|!|, please.]",
    "[Tell|Write|Make up|Invent] a [short |bedtime |little |]story[.|!]",
    "[Can|Could] you [tell|write] [me |]a story?",
    "I want [to hear |]a story.",
    "[story|a story|another story|story please|once upon a time]",
)
ABOUT = (
    "[Tell me|Write|Tell|Write me|Give me|Invent] a [short |little |bedtime |funny |]story about {what}.",
    "[Can|Could] you [tell|write] [me |]a [short |]story about {what}?",
    "I want [to hear |]a story about {what}.",
    "[A|Short|One more|Please, a] story about {what}[.|, please.|]",
    "story about {what}",
    "[Do you know|Have you got] a story about {what}?",
    "[Make|Let] {what} the hero of a story.",
    "Once upon a time there was {what}. [Continue.|What happened next?|Go on.]",
)


def exchange(rng: Random) -> Exchange:
    """A request for a story, half of them about somebody or something."""
    if rng.random() < 0.35:
        return Exchange(
            key="story", question=fill(rng, pick(rng, REQUESTS)), answer=tell(rng, cast(rng))
        )
    roll = rng.random()
    if roll < 0.5:
        kind = made_up(rng).lower() if rng.random() < 0.12 else pick(rng, s.KINDS)
        who = cast(rng, kind=kind)
        what = an(kind)
        if rng.random() < 0.3:
            what += f" [named|called] {who.name}"
        elif rng.random() < 0.2:
            what += f" and {an(who.slots['fk'])}"
    elif roll < 0.65:
        who = cast(rng, name=pick(rng, GIRLS + BOYS) if rng.random() < 0.8 else made_up(rng))
        what = who.name
    elif roll < 0.85:
        thing = pick(rng, s.THINGS)
        who, what = cast(rng, thing=thing), thing
        question = fill(rng, pick(rng, ABOUT[:6]), {"what": what})
        return Exchange(key="story", question=question, answer=tell(rng, who, ABOUT_A_THING))
    else:
        place = pick(rng, s.PLACES)
        who, what = cast(rng, place=place), place
    question = fill(rng, fill(rng, pick(rng, ABOUT), {"what": what}))
    return Exchange(key="story", question=upper_first(question), answer=tell(rng, who))


def document(rng: Random) -> Document:
    """A story as plain text, or asked for in a chat."""
    if rng.random() < 0.55:
        return tell(rng, cast(rng))
    e = exchange(rng)
    return chat(ask(rng, e.question), e.answer)


def items(rng: Random, n: int) -> list[Item]:
    """Prompts for sampled stories: a bare opening, a request, and a request with a topic."""
    made = []
    for i in range(n):
        if i % 3 == 0:
            prompt: Document = "Once upon a time"
        elif i % 3 == 1:
            prompt = chat("Tell me a story.")
        else:
            kind = pick(rng, s.KINDS)
            prompt = chat(typed(rng, f"Tell me a story about {an(kind)}.", slips=False))
        made.append(Item(part="stories", prompt=prompt, expected=(), check="story"))
    return made
