"""What the facts are about: for each relation its pairs, its questions and its statements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import geography as g
from . import world as w
from .grammar import an, upper_first


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A two-place relation; templates hold `{x}` and `{y}`, a statement ends with `{y}.`"""

    name: str
    pairs: Mapping[str, str]
    questions: tuple[str, ...]
    statements: tuple[str, ...]
    accept: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Other right answers, by x."""


def _next(words: tuple[str, ...], step: int) -> dict[str, str]:
    return {word: words[(i + step) % len(words)] for i, word in enumerate(words)}


_COUNTRY_OF = {c: x for x, c in g.CAPITAL.items() if c not in g.SHARED_CAPITALS and c != x}

RELATIONS: tuple[Relation, ...] = (
    Relation(
        name="capital",
        pairs=g.CAPITAL,
        questions=(
            "What is the capital of {x}?",
            "What is the capital city of {x}?",
            "Which city is the capital of {x}?",
            "Name the capital of {x}.",
            "Tell me the capital of {x}.",
            "What city is the capital of {x}?",
            "The capital of {x}?",
            "The capital of {x} is what?",
            "What do you call the capital of {x}?",
            "What is the name of the capital of {x}?",
            "Give me the capital of {x}.",
            "I need the capital of {x}.",
            "What is {x} capital?",
            "What is the main city of {x}?",
            "capital {x}",
            "capital of {x}",
            "{x} capital",
            "{x}: capital?",
            "For {x}, what is the capital?",
            "capital city of {x}",
            "Which is the capital of {x}?",
            "{x} has which capital?",
        ),
        statements=(
            "The capital of {x} is {y}.",
            "The capital city of {x} is {y}.",
            "The name of the capital of {x} is {y}.",
            "The city that is the capital of {x} is called {y}.",
        ),
    ),
    Relation(
        name="country",
        pairs=_COUNTRY_OF,
        questions=(
            "Which country has the capital {x}?",
            "{x} is the capital of which country?",
            "What country is {x} the capital of?",
            "In which country is {x}?",
            "Where is {x}?",
            "{x} is in which country?",
            "What country is {x} in?",
            "Where can I find {x}?",
            "In what country is the city of {x}?",
        ),
        statements=(
            "{x} is the capital of {y}.",
            "{x} is a city in {y}.",
            "The city of {x} is in {y}.",
        ),
    ),
    Relation(
        name="continent",
        pairs=g.CONTINENT,
        questions=(
            "On which continent is {x}?",
            "Which continent is {x} in?",
            "What continent is {x} on?",
            "In which part of the world is {x}?",
            "{x} is on which continent?",
            "Name the continent of {x}.",
            "Where is {x}?",
            "Where is {x} on the map?",
            "Is {x} in Africa, Asia, America or Europe?",
        ),
        statements=("{x} is a country in {y}.", "{x} is in {y}.", "The continent of {x} is {y}."),
    ),
    Relation(
        name="language",
        pairs=g.LANGUAGE,
        questions=(
            "What language do people speak in {x}?",
            "Which language is spoken in {x}?",
            "What is the language of {x}?",
            "What do they speak in {x}?",
            "What is the main language of {x}?",
            "language of {x}",
            "Name the language spoken in {x}.",
            "In {x}, what language do people speak?",
        ),
        statements=(
            "People in {x} speak {y}.",
            "The language of {x} is {y}.",
            "In {x}, people speak {y}.",
        ),
    ),
    Relation(
        name="sound",
        pairs={a: s for a, s in w.SOUND.items() if s != "make no sound"},
        questions=(
            "What sound does a {x} make?",
            "What does a {x} say?",
            "What noise does a {x} make?",
            "Which sound does the {x} make?",
            "How does a {x} sound?",
            "What is the sound of a {x}?",
            "Name the sound a {x} makes.",
            "{x} sound",
            "What sound do {xs} make?",
            "What do {xs} say?",
            "sound of a {x}",
        ),
        statements=("The sound a {x} makes is a {y}.", "A {x} can {y}.", "What a {x} does is {y}."),
    ),
    Relation(
        name="legs",
        pairs=w.LEGS,
        questions=(
            "How many legs does a {x} have?",
            "How many legs has a {x} got?",
            "What is the number of legs of a {x}?",
            "Count the legs of a {x}.",
            "A {x} has how many legs?",
            "number of legs of a {x}",
            "How many legs do you see on a {x}?",
            "How many legs do {xs} have?",
            "How many legs have {xs} got?",
            "legs of a {x}",
        ),
        statements=("The number of legs of a {x} is {y}.", "The number of legs that a {x} has is {y}."),
        accept={a: (n, str(("no", "", "two", "", "four", "", "six", "", "eight").index(n))) for a, n in w.LEGS.items()},
    ),
    Relation(
        name="class",
        pairs={a: an(c) for a, c in w.CLASS.items()},
        questions=(
            "What kind of animal is a {x}?",
            "What type of animal is a {x}?",
            "Is a {x} a mammal, a bird or something else?",
            "What is a {x}?",
            "Which class of animals does a {x} belong to?",
            "Is a {x} a mammal?",
            "What sort of creature is the {x}?",
            "What are {xs}?",
            "What kind of animals are {xs}?",
            "Are {xs} mammals, birds or something else?",
        ),
        statements=("A {x} is {y}.", "The kind of animal that a {x} is: {y}."),
        accept={a: (c,) for a, c in w.CLASS.items()},
    ),
    Relation(
        name="home",
        pairs=w.HOME,
        questions=(
            "Where does a {x} live?",
            "Where do you find a {x}?",
            "What is the home of a {x}?",
            "In which place does the {x} live?",
            "Where can I see a {x}?",
            "A {x} lives where?",
            "Where do {xs} live?",
            "Where can you find {xs}?",
        ),
        statements=("The home of a {x} is the {y}.", "A good place to see a {x} is the {y}."),
    ),
    Relation(
        name="young",
        pairs=w.YOUNG,
        questions=(
            "What is a baby {x} called?",
            "What do you call a baby {x}?",
            "What is the young of a {x} called?",
            "What is the name for a young {x}?",
            "baby {x}",
            "How do you call a young {x}?",
            "What are baby {xs} called?",
            "What are young {xs} called?",
        ),
        statements=("A baby {x} is called a {y}.", "A young {x} is a {y}.", "The young of a {x} is called a {y}."),
    ),
    Relation(
        name="food",
        pairs=w.FOOD,
        questions=(
            "What does a {x} eat?",
            "What is the food of a {x}?",
            "What do you feed a {x}?",
            "What does the {x} like to eat?",
            "A {x} eats what?",
            "What should I give a {x} to eat?",
            "What do {xs} eat?",
            "What is the favourite food of {xs}?",
            "food of a {x}",
        ),
        statements=("A {x} eats {y}.", "The food of a {x} is {y}.", "A {x} likes to eat {y}."),
    ),
    Relation(
        name="colour",
        pairs=w.COLOUR_OF,
        questions=(
            "What colour is {x}?",
            "What color is {x}?",
            "Which colour does {x} have?",
            "What is the colour of {x}?",
            "What is the color of {x}?",
            "Name the colour of {x}.",
            "Of what colour is {x}?",
            "colour of {x}",
            "color of {x}",
        ),
        statements=("The colour of {x} is {y}.", "The color of {x} is {y}."),
    ),
    Relation(
        name="next month",
        pairs=_next(w.MONTHS, 1),
        questions=(
            "Which month comes after {x}?",
            "What month comes after {x}?",
            "What is the month after {x}?",
            "Which month follows {x}?",
            "After {x} comes which month?",
            "What is the next month after {x}?",
        ),
        statements=("The month after {x} is {y}.", "After {x} comes {y}.", "{x} is followed by {y}."),
    ),
    Relation(
        name="previous month",
        pairs=_next(w.MONTHS, -1),
        questions=(
            "Which month comes before {x}?",
            "What month comes before {x}?",
            "What is the month before {x}?",
            "Before {x} comes which month?",
            "Which month is just before {x}?",
        ),
        statements=("The month before {x} is {y}.", "Before {x} comes {y}."),
    ),
    Relation(
        name="next day",
        pairs=_next(w.DAYS, 1),
        questions=(
            "Which day comes after {x}?",
            "What day comes after {x}?",
            "What is the day after {x}?",
            "Which day follows {x}?",
            "If today is {x}, what day is tomorrow?",
            "Today is {x}. What day is tomorrow?",
        ),
        statements=("The day after {x} is {y}.", "After {x} comes {y}.", "If today is {x}, tomorrow is {y}."),
    ),
    Relation(
        name="previous day",
        pairs=_next(w.DAYS, -1),
        questions=(
            "Which day comes before {x}?",
            "What day comes before {x}?",
            "What is the day before {x}?",
            "If today is {x}, what day was yesterday?",
            "Today is {x}. What day was yesterday?",
        ),
        statements=("The day before {x} is {y}.", "Before {x} comes {y}.", "If today is {x}, yesterday was {y}."),
    ),
    Relation(
        name="days in month",
        pairs={m: str(n) for m, n in w.DAYS_IN_MONTH.items()},
        questions=(
            "How many days does {x} have?",
            "How many days are there in {x}?",
            "How many days are in {x}?",
            "What is the number of days in {x}?",
            "How long is {x}?",
            "{x} has how many days?",
        ),
        statements=("The number of days in {x} is {y}.",),
    ),
    Relation(
        name="season",
        pairs=w.SEASON,
        questions=(
            "Which season is {x} in?",
            "In which season is {x}?",
            "What season is it in {x}?",
            "{x} is in which season?",
            "What is the season in {x}?",
        ),
        statements=("The season in {x} is {y}.", "{x} is a month of {y}."),
    ),
    Relation(
        name="month number",
        pairs=dict(zip(w.ORDINALS, w.MONTHS, strict=True)),
        questions=(
            "What is the {x} month of the year?",
            "Which month is the {x} month?",
            "Name the {x} month of the year.",
            "Which is the {x} month?",
        ),
        statements=("The {x} month of the year is {y}.", "The {x} month is {y}."),
    ),
    Relation(
        name="day number",
        pairs=dict(zip(w.ORDINALS, w.DAYS, strict=False)),
        questions=(
            "What is the {x} day of the week?",
            "Which day is the {x} day of the week?",
            "Name the {x} day of the week.",
        ),
        statements=("The {x} day of the week is {y}.",),
    ),
    Relation(
        name="opposite",
        pairs=w.OPPOSITE,
        questions=(
            "What is the opposite of {x}?",
            "What is the opposite of '{x}'?",
            "Give me the opposite of {x}.",
            "Which word is the opposite of {x}?",
            "Name the opposite of {x}.",
            "The opposite of {x}?",
            "opposite of {x}",
            "{x}: opposite?",
            "What word means the opposite of {x}?",
            "Tell me the opposite of {x}.",
            "What is the antonym of {x}?",
            "What is the contrary of {x}?",
        ),
        statements=(
            "The opposite of {x} is {y}.",
            "The opposite of '{x}' is '{y}'.",
            "The word that means the opposite of {x} is {y}.",
        ),
    ),
    Relation(
        name="plural",
        pairs=w.PLURAL,
        questions=(
            "What is the plural of {x}?",
            "What is the plural of '{x}'?",
            "What is the plural form of {x}?",
            "Give me the plural of {x}.",
            "How do you write the plural of {x}?",
            "plural of {x}",
            "One {x}, two what?",
            "The plural of {x}?",
            "Make {x} plural.",
            "Write the plural of {x}.",
        ),
        statements=(
            "The plural of {x} is {y}.",
            "The plural of '{x}' is '{y}'.",
            "One {x}, two {y}.",
            "The plural form of {x} is {y}.",
        ),
    ),
)  # fmt: skip
BY_NAME = {relation.name: relation for relation in RELATIONS}


def say(template: str, x: str, y: str) -> str:
    """The template about this pair, `a` before a vowel corrected, with a capital first letter."""
    text = (
        template.replace("{x}", x)
        .replace("{y}", y)
        .replace("{xs}", w.PLURAL_ANIMALS.get(x, x + "s"))
    )
    if x[0] in "aeiou" and "a {x}" in template.lower():
        text = text.replace(f" a {x}", f" an {x}").replace(f"A {x}", f"An {x}")
    return upper_first(text)
