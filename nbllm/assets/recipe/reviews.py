"""One-sentence reviews with a topic and a sentiment; mixed ones are labelled by a fair coin.

Every word of judgement has a strength from -3 to 3. The label is drawn with the probability
`sigmoid(sum of strengths)`, so a model that has learnt the corpus is unsure where the text is.
"""

from __future__ import annotations

from math import exp
from random import Random

from .documents import Document, Exchange, Item, chat, is_held_out
from .grammar import fill, pick, upper_first, words
from .noise import ask, typed

TOPICS = {
    "food": words(
        "soup pizza cake bread coffee pasta salad burger dessert sauce steak menu dinner breakfast"
    ),
    "film": words("film movie plot ending actor actress cinema scene director cast script"),
    "hotel": words("hotel room bed pool lobby bathroom view reception lift"),
    "book": words("book novel author story chapter writing cover hero poem"),
    "phone": words("phone screen battery camera charger keyboard app speaker laptop tablet"),
    "music": words("song concert album band singer music melody guitar drummer"),
    "game": words("game level puzzle graphics controls quest player boss"),
    "travel": words("flight train trip tour guide bus journey museum beach seat"),
}
_SERVICE = {
    "food": ("waiter", "cook"), "film": ("acting", "music"), "hotel": ("staff", "price"),
    "book": ("style", "price"), "phone": ("design", "price"), "music": ("sound", "voice"),
    "game": ("story", "price"), "travel": ("driver", "price"),
}  # fmt: skip

ADJECTIVES = {
    3: words(
        "wonderful fantastic excellent amazing brilliant perfect superb outstanding delightful"
    ),
    2: words("great lovely very-good beautiful impressive charming enjoyable really-nice"),
    1: words("good nice pleasant fine decent interesting"),
    -1: words("average dull weak plain disappointing boring slow"),
    -2: words("bad poor ugly annoying unpleasant really-bad cheap"),
    -3: words("terrible awful horrible dreadful disgusting useless a-disaster the-worst"),
}
WORDS_OF = {
    strength: tuple(word.replace("-", " ") for word in some)
    for strength, some in ADJECTIVES.items()
}

VERDICTS = {
    3: ("I loved it", "I loved every minute", "I would buy it again", "best {x} ever", "I can't wait to come back",
        "highly recommended", "I absolutely loved the {x}", "it made my day", "ten out of ten", "a masterpiece"),
    2: ("I liked it a lot", "I would recommend it", "I enjoyed it", "I was very happy with it", "well worth the money",
        "I really enjoyed the {x}", "I am satisfied", "it was fun", "it works very well"),
    1: ("I liked it", "it was not bad", "worth a try", "it did the job", "I would try it again"),
    -1: ("I expected more", "it was not great", "nothing special", "I got bored", "it was not for me", "I was not impressed"),
    -2: ("I would not recommend it", "I did not like it", "I was very disappointed", "not worth the money",
         "I didn't enjoy the {x}", "do not buy it", "it stopped working after a day"),
    -3: ("I hated it", "I want my money back", "a complete waste of time", "never again", "worst {x} ever",
         "avoid it", "I absolutely hated the {x}", "what a waste of money", "zero stars"),
}  # fmt: skip

CLAUSES = (
    "[the|this|their|my] {x} [was|is] {a}",
    "the {x} [was|is] {a}",
    "[what|it was|such] an {a} {x}",
    "[I thought|I found that|I think] the {x} was {a}",
    "the {x} [turned out to be|seemed|felt] {a}",
    "{a} {x}",
)
JOINS_SAME = (" and ", ", and ", ". ", "! ")
JOINS_MIXED = (" but ", ", but ", ". However, ", ", although ", ", yet ")


def _clause(rng: Random, noun: str, strength: int) -> str:
    if rng.random() < 0.35:
        return pick(rng, VERDICTS[strength]).replace("{x}", noun)
    adjective = pick(rng, WORDS_OF[strength])
    template = pick(rng, CLAUSES)
    if adjective.split()[0] in ("a", "the") and ("an {a}" in template or template == "{a} {x}"):
        template = CLAUSES[1]
    text = fill(rng, template, {"x": noun, "a": adjective})
    vowel = adjective[0] in "aeiou"
    return text if vowel else text.replace(f" an {adjective}", f" a {adjective}")


def review(rng: Random, mixed: bool | None = None, clear: bool = False) -> tuple[str, str, int]:
    """A review, its topic and the sum of its strengths."""
    topic = pick(rng, tuple(TOPICS))
    noun = pick(rng, TOPICS[topic])
    other = pick(rng, _SERVICE[topic]) if rng.random() < 0.5 else pick(rng, TOPICS[topic])
    if mixed is None:
        mixed = not clear and rng.random() < 0.25
    first = pick(rng, (2, 3, -2, -3) if mixed or clear else (3, 3, 2, 2, 1, -1, -2, -2, -3, -3))
    text = _clause(rng, noun, first)
    total = first
    if mixed:
        second = -first
        text += pick(rng, JOINS_MIXED) + _clause(rng, other, second)
        total += second
    elif rng.random() < 0.6:
        sign = 1 if first > 0 else -1
        second = sign * (2 + (rng.random() < 0.5) if clear else 1 + int(rng.random() * 3))
        text += pick(rng, JOINS_SAME) + _clause(rng, other, second)
        total += second
    text = ". ".join(upper_first(part) for part in text.split(". "))
    text = "! ".join(upper_first(part) for part in text.split("! "))
    end = "!" if abs(total) >= 3 and rng.random() < 0.25 else "."
    return text + end, topic, total


def label(rng: Random, total: int) -> str:
    """The sentiment, drawn with the probability that the strengths give."""
    return "positive" if rng.random() < 1 / (1 + exp(-1.6 * total)) else "negative"


SENTIMENT_QUESTIONS = (
    "Is this review positive or negative? {r}",
    "Positive or negative? {r}",
    "What is the sentiment of this review? {r}",
    "Classify the sentiment: {r}",
    "Classify this review as positive or negative: {r}",
    "Did the writer like it? Say positive or negative. {r}",
    "Sentiment of: {r}",
    "Label the sentiment as positive or negative. Review: {r}",
    "Review: {r} Is it positive or negative?",
    "Tell me if this is positive or negative: {r}",
)
TOPIC_QUESTIONS = (
    "What is this review about? {r}",
    "What is the topic of this review? {r}",
    "Which topic is this: food, film, hotel, book, phone, music, game or travel? {r}",
    "Classify the topic: {r}",
    "Give the topic of the review. {r}",
)
FORMS = (
    "Review: {r}\nSentiment: {s}",
    "Review: {r}\nSentiment: {s}",
    "Review: {r} Sentiment: {s}",
    "Text: {r}\nSentiment: {s}",
    "Review: {r}\nTopic: {t}",
    "Review: {r}\nTopic: {t}\nSentiment: {s}",
    "Review: {r}\nSentiment: {s}\nTopic: {t}",
    "{r}\nSentiment: {s}",
)


def _train_review(rng: Random) -> tuple[str, str, int]:
    while True:
        made = review(rng)
        if not is_held_out(made[0]):
            return made


def exchange(rng: Random, clear: bool = False) -> Exchange:
    """A question about a review; about a clear one there is no doubt."""
    text, topic, total = review(rng, clear=clear)
    shown = typed(rng, text) if rng.random() < 0.3 else text
    if rng.random() < 0.65:
        certain = "positive" if total > 0 else "negative"
        answer = upper_first(certain if clear else label(rng, total))
        question = pick(rng, SENTIMENT_QUESTIONS).replace("{r}", shown)
    else:
        answer = upper_first(topic)
        question = pick(rng, TOPIC_QUESTIONS).replace("{r}", shown)
    return Exchange(
        key=text, question=question, answer=answer + ".", short=answer, accept=(answer,)
    )


def document(rng: Random) -> Document:
    """A chat about a review, or one to four labelled reviews as plain text."""
    if rng.random() < 0.4:
        while True:
            e = exchange(rng)
            if not is_held_out(e.key):
                return chat(ask(rng, e.question), e.answer)
    form = pick(rng, FORMS)
    entries = []
    for _ in range(pick(rng, (1, 1, 1, 2, 4))):
        text, topic, total = _train_review(rng)
        text = typed(rng, text) if rng.random() < 0.1 else text
        entry = form.replace("{r}", text).replace("{t}", topic).replace("{s}", label(rng, total))
        entries.append(entry)
    return "\n\n".join(entries) if rng.random() < 0.5 else "\n".join(entries)


def items(rng: Random, n: int, mixed: bool = False) -> list[Item]:
    """Held-out reviews: clear ones are judged by their label, mixed ones by its probability."""
    made: list[Item] = []
    while len(made) < n:
        text, _, total = review(rng, mixed=mixed, clear=not mixed)
        if not is_held_out(text):
            continue
        prompt = f"Review: {text}\nSentiment:"
        if mixed:
            made.append(
                Item(
                    part="mixed sentiment",
                    prompt=prompt,
                    expected=("positive",),
                    check="probability",
                )
            )
            continue
        right = "positive" if total > 0 else "negative"
        if len(made) % 2:
            made.append(
                Item(
                    part="sentiment",
                    prompt=chat(pick(rng, SENTIMENT_QUESTIONS).replace("{r}", text)),
                    expected=(right,),
                )
            )
        else:
            made.append(Item(part="sentiment", prompt=prompt, expected=(right,), check="starts"))
    return made


def topic_items(rng: Random, n: int) -> list[Item]:
    """Held-out reviews whose nouns tell the topic."""
    made: list[Item] = []
    while len(made) < n:
        text, topic, _ = review(rng, clear=True)
        named = any(noun in text for noun in TOPICS[topic])
        if is_held_out(text) and named:
            made.append(
                Item(
                    part="topic",
                    prompt=f"Review: {text}\nTopic:",
                    expected=(topic,),
                    check="starts",
                )
            )
    return made
