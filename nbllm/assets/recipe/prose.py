"""Essays, introductions, poems, remarks: fluent text for the prompts that newcomers try first."""

from __future__ import annotations

from random import Random

from . import scenery as s
from . import world as w
from .documents import Document, Exchange, chat
from .grammar import an, fill, pick, upper_first
from .noise import ask
from .topics import CLASSICS, JOKES, POEM_RHYMES, TOPICS, Topic
from .world import NAMES, PLURAL_ANIMALS, made_up, person

BEGIN = (
    "{T} {be} {what}.",
    "{T} {be} [important|important in our life|important for everybody], because {it} {good}.",
    "Many people think about {t}. {T} {be} {what}.",
    "What {be} {t}? {T} {be} {what}.",
    "[I want to write about|Let us talk about|This text is about] {t}.",
    "[Everybody knows|We all know] that {t} {be} {what}.",
)
MIDDLE = (
    "{It} {good}.",
    "It is true that {it} {good}.",
    "First, {it} {good}. Second, {it} {good2}.",
    "{T} {good} and {good2}.",
    "[For {p}|Think of {p}: for them], {t} {be} [a part of every day|very important|a great help].",
    "Without {t}, {p} would [have a hard time|not be happy|lose much].",
    "{P} know that {t} {need_v} {need}.",
    "{T} {need_v} {need} and {need2}.",
    "[But|Of course,] {it} {need_v} {need}, and that is not always easy.",
    "Some people say that {t} {be} [difficult|too expensive|old-fashioned], but I do not think so.",
    "[A long time ago|In the past], {p} [knew little about|dreamed of|talked often about] {t}.",
    "[Today|In our time], {p} and {p2} [care about|learn from|speak about] {t}.",
    "I like {t}, because {it} {good}.",
)
FINISH = (
    "That is why {t} {be} so important.",
    "So let us [take care of|be thankful for|think about|make time for] {t}.",
    "In the end, {t} {good}.",
    "I hope that [everybody|all {p}|more people] can enjoy {t}.",
    "The future of {t} [is bright|is in our hands|begins today].",
    "",
)
FUTURE = (
    "The future of {t} [is bright|is in our hands|is hard to guess|depends on us|begins today]. [{P} will|Many people will] [need it|learn about it|work with it] every day. {It} {need_v} {need}, but {it} {good}.",
    "The [importance|meaning|beauty|history|purpose] of {t} is [clear|easy to see|often forgotten]: {it} {good}. {MIDDLE}",
    "The [best|nicest|most important] thing about {t} is that {it} {good}. {MIDDLE}",
    "The problem with {t} is that {it} {need_v} {need}. {MIDDLE}",
    "The meaning of {t} is [to be found by everybody|not easy to say|that {it} {good}]. {MIDDLE}",
    "[The best way to begin with|A good way to learn about] {t} is to ask {p}. {MIDDLE}",
)


def _slots(rng: Random, topic: Topic) -> dict[str, str]:
    good, good2 = rng.sample(topic.good, 2)
    need, need2 = rng.sample(topic.needs, 2)
    p, p2 = rng.sample(topic.people, 2)
    return {
        "t": topic.name, "T": upper_first(topic.name), "be": "are" if topic.plural else "is",
        "it": "they" if topic.plural else "it", "It": "They" if topic.plural else "It",
        "what": topic.what, "good": good, "good2": good2, "need": need, "need2": need2,
        "p": p, "P": upper_first(p), "p2": p2, "need_v": "need" if topic.plural else "needs",
    }  # fmt: skip


def essay(rng: Random, topic: Topic, long: bool | None = None) -> str:
    """Three to six sentences about a topic, without saying the same thing twice."""
    begin, finish = pick(rng, BEGIN), pick(rng, FINISH)
    if rng.random() < 0.3:
        begin = pick(rng, FUTURE).replace(" {MIDDLE}", "")
    n = 1 + int(rng.random() * 4) if long is None else 3 if long else 1
    parts = [begin, *rng.sample(MIDDLE, n), finish]
    return " ".join(filter(None, (fill(rng, part, _slots(rng, topic)) for part in parts)))


def introduction(rng: Random, name: str = "") -> str:
    """Somebody introduces themselves: what follows "Hello, my name is"."""
    hobby, hobby2 = rng.sample(w.HOBBIES, 2)
    slots = {
        "n": name or person(rng), "age": 6 + int(rng.random() * 70), "c": pick(rng, w.CITIES),
        "job": pick(rng, w.CATEGORIES["jobs"]), "h": hobby, "h2": hobby2, "col": pick(rng, w.COLOURS),
        "a": an(pick(rng, w.ANIMALS)), "food": pick(rng, w.FOODS),
        "pet": pick(rng, NAMES),
    }  # fmt: skip
    begin = (
        "[Hello|Hi|Hello there|Good morning][,|!] [my|My] name is {n}."
        if rng.random() < 0.5
        else "[My name is|I am] {n}."
    )
    text = fill(rng, begin, slots).replace(", My", ", my").replace("! my", "! My")
    middle = rng.sample(
        (
            "I am {age} years old.", "I [live in|come from] {c}.", "I am a {job}.", "I like {h}[ and {h2}|].",
            "My favourite colour is {col}.", "My favourite food is {food}.", "I have {a} named {pet}.",
            "I am {age} years old and I live in {c}.",
        ),
        2 + int(rng.random() * 3),
    )  # fmt: skip
    if "I am {age} years old and I live in {c}." in middle:
        middle = [
            m for m in middle if m not in ("I am {age} years old.", "I [live in|come from] {c}.")
        ]
    end = pick(
        rng, ("[Nice to meet you.|It is nice to meet you!|What is your name?|And you?]", "", "")
    )
    return " ".join(filter(None, (text, *(fill(rng, m, slots) for m in middle), fill(rng, end))))


def poem(rng: Random, about: str = "") -> str:
    """Four lines that rhyme in pairs."""
    first, second = rng.sample(POEM_RHYMES, 2)
    about = about or pick(rng, w.ANIMALS)
    lines = []
    for rhymes in (first, second):
        one, other = rng.sample(rhymes[:4], 2)
        for word in (one, other):
            noun = about if not lines else pick(rng, ("wind", "moon", about))
            lines.append(_line(rng, noun, word))
    return "{},\n{}.\n{},\n{}.".format(*lines)


_RHYME_ENDS = {
    "day": "all the day", "away": "far away", "play": "comes to play", "grey": "in the grey",
    "night": "in the night", "light": "in the light", "bright": "shining bright", "white": "soft and white",
    "sea": "by the sea", "tree": "near the tree", "free": "wild and free", "me": "close to me",
    "sun": "in the sun", "run": "on the run", "fun": "full of fun", "done": "when work is done",
    "rain": "in the rain", "train": "like a train", "again": "once again", "lane": "down the lane",
    "sky": "in the sky", "fly": "wants to fly", "high": "oh so high", "goodbye": "says goodbye",
    "hill": "on the hill", "still": "calm and still", "until": "on and on until", "will": "as it will",
    "snow": "in the snow", "go": "here we go", "slow": "soft and slow", "know": "as you know",
    "star": "like a star", "far": "near and far", "are": "where we are", "guitar": "with a guitar",
    "moon": "under the moon", "soon": "very soon", "tune": "sings a tune", "June": "in warm June",
    "house": "near the house", "mouse": "like a mouse", "bed": "in its bed", "red": "round and red",
    "said": "so it said", "bread": "with some bread",
}  # fmt: skip


def _line(rng: Random, noun: str, rhyme: str) -> str:
    end = _RHYME_ENDS[rhyme]
    verb = end.split()[0] in ("comes", "wants", "says", "sings")
    if verb:
        return fill(rng, "[The|My] [little|quiet|happy|old|gentle] {n} {e}", {"n": noun, "e": end})
    return fill(
        rng,
        "[The|My] [little |quiet |happy |old |gentle |]{n} [sings|dances|sleeps|walks|smiles|waits|dreams] {e}",
        {"n": noun, "e": end},
    )


def classic(rng: Random) -> str:
    """One of the lines with which people try out a language model, and how it goes on."""
    topic = pick(rng, TOPICS)
    name, friend = rng.sample(NAMES, 2)
    spot, spot2 = rng.sample(s.SPOTS, 2)
    animal = pick(rng, w.ANIMALS)
    slots = {
        "n": name, "f": friend, "spot": spot, "spot2": spot2, "spot_in": "the " + pick(rng, ("forest", "garden", "city", "valley")),
        "day": pick(rng, w.DAYS), "topic": topic.name, "be": "are" if topic.plural else "is", "what": topic.what,
        "colour": pick(rng, w.COLOURS), "animal": animal, "animals": PLURAL_ANIMALS[animal],
        "food": pick(rng, w.FOODS), "season": pick(rng, w.CATEGORIES["seasons"]), "kind": pick(rng, s.KINDS),
        "city": pick(rng, w.CITIES), "He": pick(rng, ("The president", "He or she")),
    }  # fmt: skip
    return fill(rng, pick(rng, CLASSICS), slots)


ESSAY_REQUESTS = (
    "Write [an essay|a short essay|a text|a paragraph|a few sentences|something] about {t}.",
    "Write [an essay|a paragraph|a text] [on|about] the importance of {t}.",
    "[Tell me|Say something|Talk|Write|Can you tell me something|Can you write something] about {t}.",
    "What do you think [about|of] {t}?",
    "[Why is|Explain why] {t} {be} important{q}",
    "What {be} {t}?",
    "[Explain|Describe] {t}.",
    "What is the future of {t}?",
    "essay about {t}",
    "Is {t} important?",
)


def exchange(rng: Random) -> Exchange:
    """A request for an essay, a poem or a joke."""
    roll = rng.random()
    if roll < 0.62:
        topic = pick(rng, TOPICS)
        request = pick(rng, ESSAY_REQUESTS)
        if "[Why is" in request:
            request = fill(
                rng,
                "[Why {be} {t} important?|Explain why {t} {be} important.]",
                {"t": topic.name, "be": "are" if topic.plural else "is"},
            )
        question = fill(
            rng, request, {"t": topic.name, "be": "are" if topic.plural else "is", "q": "?"}
        )
        return Exchange(key="essay", question=question, answer=essay(rng, topic))
    if roll < 0.82:
        about = pick(rng, w.ANIMALS + s.KINDS[:20]) if rng.random() < 0.8 else made_up(rng).lower()
        question = fill(
            rng,
            "[Write|Tell me|Read me|Give me|Can you write] a [short |little |]poem about {a}.",
            {"a": an(about)},
        )
        if rng.random() < 0.35:
            question = fill(
                rng,
                "[Write a poem.|Write me a short poem.|Tell me a poem!|Give me a poem.|poem|a poem, please]",
            )
        return Exchange(key="poem", question=question, answer=poem(rng, about))
    question = fill(
        rng,
        "[[Tell me|Give me|Say|I want to hear] [a joke|another joke|a good joke|something funny].|joke|Make me laugh.|I want to laugh.|Do you know [a joke|any jokes]?]",
    )
    return Exchange(key="joke", question=question, answer=pick(rng, JOKES))


def document(rng: Random) -> Document:
    """Plain text most of the time, otherwise a request for one."""
    roll = rng.random()
    if roll < 0.30:
        e = exchange(rng)
        return chat(ask(rng, e.question), e.answer)
    if roll < 0.52:
        return essay(rng, pick(rng, TOPICS))
    if roll < 0.70:
        return introduction(rng)
    if roll < 0.76:
        return poem(rng)
    if roll < 0.78:
        return pick(rng, JOKES)
    return classic(rng)
