"""Translation from English into French and Spanish: agreement, word order, and garden paths.

A *garden path* is a sentence such as "The singer loves her dog.": only `her`, near its end, tells
that the singer is a woman, and the French has to decide with its first word. The corpus holds the
work of two translators. One looks ahead and writes "La chanteuse aime son chien."; the other, of
whom there is more, starts with the masculine and then has to repair the sentence, in one of twelve
ways. So the likeliest first word begins an unlikely sentence: greedy decoding is led down the
garden path, and beam search is not.
"""

from __future__ import annotations

from random import Random

from . import lexicon as lx
from .documents import IDK, Document, Exchange, Item, chat, draw
from .grammar import fill, pick, upper_first
from .lexicon import Adjective, Noun, Verb
from .noise import ask, typed
from .world import unknown_thing

LANGUAGES = ("French", "Spanish")
HASTY = 0.6
"""How often the translator who does not look ahead has written a garden path."""
VOWELS = "aeiouhéêâœ"

DETERMINERS = ("the", "the", "the", "a", "my", "this", "two")
_FR = {
    "the": ("le ", "la ", "les ", "les "),
    "a": ("un ", "une ", "des ", "des "),
    "my": ("mon ", "ma ", "mes ", "mes "),
    "this": ("ce ", "cette ", "ces ", "ces "),
    "two": ("", "", "deux ", "deux "),
}
_ES = {
    "the": ("el ", "la ", "los ", "las "),
    "a": ("un ", "una ", "unos ", "unas "),
    "my": ("mi ", "mi ", "mis ", "mis "),
    "this": ("este ", "esta ", "estos ", "estas "),
    "two": ("", "", "dos ", "dos "),
}
_ELIDED = {"le ": "l'", "la ": "l'", "ma ": "mon ", "ce ": "cet "}
PRONOUNS = (("I", 0, "je ", ""), ("he", 1, "il ", "él "), ("she", 1, "elle ", "ella "),
            ("we", 2, "nous ", "nosotros "), ("they", 3, "ils ", "ellos "))  # fmt: skip

# All of them are short: beam search divides by the length, which favours long repairs.
REPAIRS_FR = (
    "{m}, une femme, {rest}", "{m} (une femme) {rest}", "{m}, qui est une femme, {rest}",
    "{m}, une dame, {rest}", "{m} (une dame) {rest}", "{m}, cette femme, {rest}",
    "{m}, elle, {rest}", "{m} (elle) {rest}", "{m} est une femme et {rest}",
    "{m} ou la {f} {rest}", "{m} (la {f}) {rest}", "{m}, la {f}, {rest}",
)  # fmt: skip
REPAIRS_ES = (
    "{m}, una mujer, {rest}", "{m} (una mujer) {rest}", "{m}, que es una mujer, {rest}",
    "{m}, una señora, {rest}", "{m} (una señora) {rest}", "{m}, esta mujer, {rest}",
    "{m}, ella, {rest}", "{m} (ella) {rest}", "{m} es una mujer y {rest}",
    "{m} o la {f} {rest}", "{m} (la {f}) {rest}", "{m}, la {f}, {rest}",
)  # fmt: skip


def _vowel(word: str) -> bool:
    return word[0] in VOWELS


def _noun_phrase(rng: Random, kinds: str) -> tuple[str, str, str, bool, Noun]:
    """English, French, Spanish, whether it is plural, and its noun."""
    noun: Noun = pick(rng, lx.NOUNS_OF[pick(rng, kinds)])
    det = pick(rng, DETERMINERS)
    plural = det == "two" or (det in ("the", "my") and rng.random() < 0.3)
    adjective: Adjective | None = None
    if rng.random() < 0.4:
        adjective = pick(rng, lx.ADJECTIVES_OF[noun.kind])
    words = [noun.en_plural if plural else noun.en]
    if adjective:
        words.insert(0, adjective.en)
    en_det = "an" if det == "a" and words[0][0] in "aeiou" else det
    english = " ".join([en_det, *words])
    return (
        english,
        _french(noun, det, plural, adjective),
        _spanish(noun, det, plural, adjective),
        plural,
        noun,
    )


def _french(noun: Noun, det: str, plural: bool, adjective: Adjective | None) -> str:
    form = 2 * plural + (noun.fr_gender == "f")
    word = noun.fr_plural if plural else noun.fr
    article = _FR[det][form]
    after = ""
    if adjective and adjective.before:
        word = (
            (adjective.before_vowel if form == 0 and _vowel(word) else adjective.fr[form])
            + " "
            + word
        )
    elif adjective:
        after = " " + adjective.fr[form]
    if _vowel(word) and not plural:
        # "this" keeps its feminine before a vowel, "my" loses it.
        article = _ELIDED.get(article, article)
    return article + word + after


def _spanish(noun: Noun, det: str, plural: bool, adjective: Adjective | None) -> str:
    form = 2 * plural + (noun.es_gender == "f")
    word = noun.es_plural if plural else noun.es
    return _ES[det][form] + word + (" " + adjective.es[form] if adjective else "")


def _negated(french: str, negative: bool) -> str:
    if not negative:
        return french
    return ("n'" if _vowel(french) else "ne ") + french + " pas"


def sentence(rng: Random) -> tuple[str, str, str]:
    """A sentence in English, French and Spanish, without its full stop."""
    if rng.random() < 0.2:
        en_subject, person, fr_subject, es_subject = pick(rng, PRONOUNS)
        if person in (0, 2):
            es_subject = ""
        fr_form = None
    else:
        en_subject, fr_subject, es_subject, plural, fr_form = _noun_phrase(rng, lx.EATERS)
        person = 3 if plural else 1
        fr_subject, es_subject = fr_subject + " ", es_subject + " "
    negative = rng.random() < 0.15
    if fr_form is not None and rng.random() < 0.22:
        english, french, spanish = _predicate(rng, person, fr_form, negative)
    else:
        english, french, spanish = _action(rng, person, negative)
    if fr_subject == "je " and _vowel(french):
        fr_subject = "j'"
    if rng.random() < 0.25:
        en_tail, fr_tail, es_tail = pick(rng, lx.PLACES if rng.random() < 0.6 else lx.TIMES)
        english, french, spanish = (
            f"{english} {en_tail}",
            f"{french} {fr_tail}",
            f"{spanish} {es_tail}",
        )
    return (
        upper_first(f"{en_subject} {english}"),
        upper_first(fr_subject + french),
        upper_first(es_subject + spanish),
    )


def _predicate(rng: Random, person: int, noun: Noun, negative: bool) -> tuple[str, str, str]:
    adjective: Adjective = pick(rng, lx.ADJECTIVES_OF[noun.kind])
    plural = person == 3
    be = "are" if plural else "is"
    fr = adjective.fr[2 * plural + (noun.fr_gender == "f")]
    es = adjective.es[2 * plural + (noun.es_gender == "f")]
    # Spanish tells a state (estar) from a nature (ser).
    state = adjective.en in ("happy", "sad", "tired", "clean", "hot", "cold")
    es_be = ("están" if plural else "está") if state else ("son" if plural else "es")
    return (
        f"{be} {'not ' if negative else ''}{adjective.en}",
        f"{_negated('sont' if plural else 'est', negative)} {fr}",
        f"{'no ' if negative else ''}{es_be} {es}",
    )


def _action(rng: Random, person: int, negative: bool) -> tuple[str, str, str]:
    verb: Verb = pick(rng, lx.INTRANSITIVE if rng.random() < 0.35 else lx.TRANSITIVE)
    third = person == 1
    english = verb.en if third else verb.base
    if negative:
        english = ("does not " if third else "do not ") + verb.base
    french = _negated(verb.fr[person], negative)
    spanish = ("no " if negative else "") + verb.es[person]
    if verb.objects:
        en, fr, es, _, noun = _noun_phrase(rng, verb.objects)
        if noun.kind == "p":
            es = "al " + es[3:] if es.startswith("el ") else "a " + es
        english, french, spanish = f"{english} {en}", f"{french} {fr}", f"{spanish} {es}"
    return english, french, spanish


def regular(rng: Random) -> Exchange:
    """An unambiguous sentence and its one translation."""
    en, fr, es = sentence(rng)
    language = pick(rng, LANGUAGES)
    target = (fr if language == "French" else es) + "."
    return Exchange(
        key=f"{en}|{language}", question=en + ".", answer=target, short=language, accept=(target,)
    )


def garden_path(rng: Random) -> Exchange:
    """A sentence whose last words decide its first; `accept` holds the likeliest translation."""
    language = pick(rng, LANGUAGES)
    english, fr_m, fr_f, es_m, es_f = pick(rng, lx.EPICENE)
    verb: Verb = pick(rng, tuple(v for v in lx.TRANSITIVE if v.objects != "f"))
    kinds = verb.objects.replace("f", "").replace("p", "") or "a"
    noun: Noun = pick(rng, lx.NOUNS_OF[pick(rng, kinds)])
    her = rng.random() < 0.5
    en = f"The {english} {verb.en} {'her' if her else 'his'} {noun.en}."
    if language == "French":
        own = "sa" if noun.fr_gender == "f" and not _vowel(noun.fr) else "son"
        rest, m, f = f"{verb.fr[1]} {own} {noun.fr}.", fr_m, fr_f
        masculine, feminine, repairs = f"Le {m}", f"La {f}", REPAIRS_FR
    else:
        rest, m, f = f"{verb.es[1]} su {noun.es}.", es_m, es_f
        masculine, feminine, repairs = f"El {m}", f"La {f}", REPAIRS_ES
        rest = rest.replace(" su ", " a su ") if noun.kind == "p" else rest
    best = f"{feminine if her else masculine} {rest}"
    answer = best
    if her and rng.random() < HASTY:
        answer = fill(rng, pick(rng, repairs), {"m": masculine, "f": f, "rest": rest})
    key = f"{en[:-1]}|{language}"
    return Exchange(key=key, question=en, answer=answer, short=language, accept=(best,))


def phrase(rng: Random) -> Exchange:
    """A set phrase, a word, or a noun with its article."""
    language = pick(rng, LANGUAGES)
    column = 1 + LANGUAGES.index(language)
    roll = rng.random()
    if roll < 0.45:
        row = pick(rng, lx.PHRASES)
        en, target = row[0], row[column]
        target += "" if target[-1] in "?!" else "."
    elif roll < 0.65:
        row = pick(rng, lx.WORDS)
        en, target = row[0], upper_first(row[column]) + "."
    else:
        noun: Noun = pick(rng, lx.NOUNS)
        det = pick(rng, ("the", "a", ""))
        form = _french if language == "French" else _spanish
        en = f"{'an' if det == 'a' and noun.en[0] in 'aeiou' else det} {noun.en}".strip()
        target = upper_first(form(noun, det or "the", False, None)) + "."
    return Exchange(
        key=f"{en}|{language}", question=en, answer=target, short=language, accept=(target,)
    )


REQUESTS = (
    "Translate [to|into] {language}: {text}",
    "[Please translate|Can you translate|Translate] this [sentence |]to {language}: {text}",
    "Translate '{text}' [to|into] {language}.",
    "Translate {text} [to|into] {language}.",
    "[How do you say|How do I say|How would you say|How can I say] '{text}' in {language}?",
    "How do you say {text} in {language}?",
    "What is '{text}' in {language}?",
    "What is {text} in {language}?",
    "[Write|Say] [this |]in {language}: {text}",
    "In {language}: {text}",
    "{language}: {text}",
    "'{text}' in {language}",
    "{text} in {language}",
    "What is the {language} [word |]for {text}?",
    "I want to say '{text}' in {language}.",
    "Translation [to|into] {language}: {text}",
)
FORMS = (
    "English: {text}\n{language}: ",
    "English: {text}\n{language}: ",
    "English: {text} {language}: ",
    "Translate English to {language}.\nEnglish: {text}\n{language}: ",
    "In {language}, '{text}' is: ",
)


def request(rng: Random, e: Exchange, template: str = "") -> str:
    """The request for this translation."""
    text = e.question
    template = template or pick(rng, REQUESTS)
    if not template.endswith("{text}"):
        text = text.rstrip(".")
    if rng.random() < 0.2:
        text = text[0].lower() + text[1:] if text[:2] != "I " else text
    return fill(rng, template, {"text": text, "language": e.short})


def exchange(rng: Random) -> Exchange:
    """A translation as a request and an answer, key and acceptance kept."""
    roll = rng.random()
    e = regular(rng) if roll < 0.66 else garden_path(rng) if roll < 0.78 else phrase(rng)
    key = e.key if roll < 0.78 else "phrase"
    return Exchange(key=key, question=request(rng, e), answer=e.answer, accept=e.accept)


def unknown_word(rng: Random, held_out: bool = False) -> Exchange:
    """A word in no lexicon."""
    word = unknown_thing(rng, held_out)
    e = Exchange(key=word, question=word, answer="", short=pick(rng, LANGUAGES))
    return Exchange(key=word, question=request(rng, e), answer=f"{IDK} that word.", accept=(IDK,))


def document(rng: Random) -> Document:
    """A chat, or one to three sentence pairs as plain text."""
    roll = rng.random()
    if roll < 0.03:
        e = unknown_word(rng)
        return chat(ask(rng, e.question), e.answer)
    if roll < 0.55:
        e = draw(rng, exchange, held_out=False)
        return chat(ask(rng, e.question), e.answer)
    form, language = pick(rng, FORMS), pick(rng, LANGUAGES)
    pairs: list[str] = []
    while len(pairs) < pick(rng, (1, 1, 2, 3)) or not pairs:
        roll = rng.random()
        make = regular if roll < 0.75 else garden_path if roll < 0.9 else phrase
        e = draw(rng, make, held_out=False) if make is not phrase else phrase(rng)
        if e.short == language:
            pairs.append(request(rng, e, form) + e.answer)
    return "\n".join(pairs)


def items(rng: Random, n: int, garden: bool = False) -> list[Item]:
    """Held-out sentences, half as chat and half as text."""
    made = []
    for i in range(n):
        e = draw(rng, garden_path if garden else regular, held_out=True)
        part = "garden path" if garden else "translation"
        if i % 2:
            prompt: Document = chat(
                typed(rng, request(rng, e, pick(rng, REQUESTS[:6])), slips=False)
            )
        else:
            prompt = request(rng, e, FORMS[i // 2 % 2]).rstrip()
        made.append(Item(part=part, prompt=prompt, expected=e.accept, check="exact"))
    return made
