"""Addition, subtraction, small products, comparison and counting, written as people write them."""

from __future__ import annotations

from random import Random

from .documents import IDK, Document, Exchange, Item, chat, draw, is_held_out
from .grammar import fill, pick
from .noise import ask, typed
from .world import DAYS, MONTHS, NUMBERS, ORDINALS, PLURAL

SIGNS = {
    "+": ("plus", "and", "added to"),
    "-": ("minus", "less", "take away"),
    "*": ("times", "by"),
}
QUESTIONS = {
    "+": (
        "What is {a} + {b}?",
        "What is {a} plus {b}?",
        "How much is {a} plus {b}?",
        "How much is {a} + {b}?",
        "Add {a} and {b}.",
        "Add {b} to {a}.",
        "What is the sum of {a} and {b}?",
        "Calculate {a} + {b}.",
        "Compute {a} + {b}.",
        "{a} plus {b}",
        "{a} + {b}",
        "{a}+{b}",
        "{a}+{b}=",
        "{a} + {b} = ?",
        "What do you get when you add {a} and {b}?",
        "What is {a} and {b} together?",
        "{a} + {b} equals what?",
        "How much is {a}+{b}?",
        "What is {a}+{b}?",
        "Solve {a} + {b}.",
        "{a} + {b} =",
        "If I have {a} apples and get {b} more, how many do I have?",
    ),
    "-": (
        "What is {a} - {b}?",
        "What is {a} minus {b}?",
        "How much is {a} minus {b}?",
        "How much is {a} - {b}?",
        "Subtract {b} from {a}.",
        "What is the difference between {a} and {b}?",
        "Calculate {a} - {b}.",
        "Compute {a} - {b}.",
        "{a} minus {b}",
        "{a} - {b}",
        "{a}-{b}",
        "{a}-{b}=",
        "{a} - {b} = ?",
        "Take {b} away from {a}.",
        "What is left when you take {b} from {a}?",
        "What is {a} take away {b}?",
        "{a} - {b} equals what?",
        "How much is {a}-{b}?",
        "What is {a}-{b}?",
        "Solve {a} - {b}.",
        "{a} - {b} =",
        "If I have {a} apples and eat {b}, how many are left?",
    ),
    "*": (
        "What is {a} times {b}?",
        "What is {a} * {b}?",
        "How much is {a} times {b}?",
        "Multiply {a} by {b}.",
        "{a} times {b}",
        "{a} * {b}",
        "{a}*{b}",
        "{a} x {b}",
        "{a}*{b}=",
        "What is {a} x {b}?",
    ),
}
ANSWERS = (
    "{a} {op} {b} = {c}",
    "{c}",
    "{a} {op} {b} = {c}.",
    "{a} {op} {b} is {c}.",
    "The answer is {c}.",
)
TEXTS = ("{a}{op}{b}={c}", "{a} {op} {b} = {c}", "{a} {op} {b} is {c}.", "{a} {word} {b} is {c}.", "{a} {word} {b} equals {c}.")  # fmt: skip


def _operands(rng: Random, op: str) -> tuple[int, int, int]:
    """Two numbers of at most two digits and the result; differences are mostly not negative."""
    if op == "*":
        a, b = int(rng.random() * 11), int(rng.random() * 11)
        return a, b, a * b
    a, b = (int(rng.random() * (100 if rng.random() < 0.85 else 11)) for _ in range(2))
    if op == "+":
        return a, b, a + b
    if a < b and rng.random() < 0.8:
        a, b = b, a
    return a, b, a - b


def key_of(a: int, op: str, b: int) -> str:
    return f"{min(a, b)}+{max(a, b)}" if op == "+" else f"{a}{op}{b}"


def sum_of(rng: Random, ops: str = "++--*") -> Exchange:
    """A sum, a difference or a product as question and answer."""
    op = pick(rng, ops)
    a, b, c = _operands(rng, op)
    slots = {"a": a, "b": b, "c": c, "op": op}
    if max(a, b) <= 20 and rng.random() < 0.1:
        slots |= {"a": NUMBERS[a], "b": NUMBERS[b]}
        question = pick(rng, QUESTIONS[op][:4] if op != "*" else QUESTIONS[op][:1])
        question = question.replace(f" {op} ", f" {SIGNS[op][0]} ")
        answer = f"{NUMBERS[a]} {SIGNS[op][0]} {NUMBERS[b]} is {NUMBERS[c] if 0 <= c <= 20 else c}."
        answer = answer.capitalize()
        accept: tuple[str, ...] = (str(c), NUMBERS[c] if 0 <= c <= 20 else str(c))
    else:
        question = pick(rng, QUESTIONS[op])
        answer = fill(rng, pick(rng, ANSWERS) if rng.random() < 0.3 else ANSWERS[0], slots)
        accept = (str(c),)
    key = key_of(a, op, b) if op != "*" else f"product {a}"
    return Exchange(
        key=key, question=fill(rng, question, slots), answer=answer, short=str(c), accept=accept
    )


def comparison(rng: Random) -> Exchange:
    """Which of two numbers is larger or smaller, or whether one is."""
    a, b = int(rng.random() * 100), int(rng.random() * 100)
    while a == b:
        b = int(rng.random() * 100)
    key = f"{a}<{b}"
    if rng.random() < 0.5:
        large = rng.random() < 0.5
        word = pick(rng, ("larger", "bigger", "greater", "more") if large else ("smaller", "less"))
        template = pick(
            rng,
            (
                f"Which is {word}, {a} or {b}?",
                f"What is {word}, {a} or {b}?",
                f"Which number is {word}: {a} or {b}?",
                f"{a} or {b}, which is {word}?",
            ),
        )
        c = str(max(a, b) if large else min(a, b))
        return Exchange(key=key, question=template, answer=c, short=c, accept=(c,))
    large = rng.random() < 0.5
    word = pick(rng, ("larger", "bigger", "greater") if large else ("smaller", "less"))
    yes = (a > b) == large
    template = pick(rng, (f"Is {a} {word} than {b}?", f"Is {a} {'>' if large else '<'} {b}?"))
    sign = "greater" if a > b else "less"
    short = "Yes" if yes else "No"
    answer = f"{short}, {a} is {sign} than {b}." if rng.random() < 0.7 else f"{short}."
    return Exchange(key=key, question=template, answer=answer, short=short, accept=(short,))


def counting(rng: Random) -> Exchange:
    """Counting up or down, what comes next, and how many words there are."""
    roll = rng.random()
    if roll < 0.35:
        a = int(rng.random() * 60) if rng.random() < 0.6 else 1
        b = a + 2 + int(rng.random() * (18 if a == 1 else 10))
        down = rng.random() < 0.2
        first, last = (b, a) if down else (a, b)
        numbers = range(a, b + 1)[::-1] if down else range(a, b + 1)
        start = "[ from 1|]" if first == 1 else " from {a}"
        question = fill(
            rng,
            f"[Count|Please count|Can you count|Count for me]{start} to {{b}}.",
            {"a": first, "b": last},
        )
        answer = ", ".join(map(str, numbers))
        return Exchange(
            key=f"count {first} {last}", question=question, answer=answer, accept=(answer,)
        )
    if roll < 0.7:
        n, after = int(rng.random() * 100), rng.random() < 0.6
        word = "after" if after else "before"
        question = fill(rng, f"[What|Which] number [comes|is] [just |]{word} {n}?")
        c = str(n + 1 if after else n - 1)
        return Exchange(key=f"{word} {n}", question=question, answer=c, short=c, accept=(c,))
    word, n = pick(rng, tuple(PLURAL)), 1 + int(rng.random() * 8)
    row = pick(rng, (" ", ", ")).join([word] * n)
    question = fill(
        rng,
        "[How many {x} are there|How many {x}|Count the {x}]: {row}",
        {"x": PLURAL[word], "row": row},
    )
    return Exchange(
        key=f"many {word} {n}",
        question=question,
        answer=str(n),
        short=str(n),
        accept=(str(n), NUMBERS[n]),
    )


def too_hard(rng: Random) -> Exchange:
    """Arithmetic beyond two digits, with an honest answer."""
    a, b = 100 + int(rng.random() ** 3 * 99_900), 11 + int(rng.random() ** 3 * 9_000)
    template = pick(
        rng,
        (
            "What is {a} {op} {b}?",
            "{a} {op} {b}",
            "{a}{op}{b}",
            "Calculate {a} {op} {b}.",
            "{a}{op}{b}=",
        ),
    )
    op = pick(rng, "+-**/")
    if op == "*" and rng.random() < 0.4:
        a = 11 + int(rng.random() * 89)
    question = template.replace("{a}", str(a)).replace("{b}", str(b)).replace("{op}", op)
    answer = f"{IDK}. I can only add and subtract numbers of one or two digits."
    return Exchange(key=question, question=question, answer=answer, accept=(IDK,))


def exchange(rng: Random) -> Exchange:
    """Any arithmetic question."""
    roll = rng.random()
    if roll < 0.64:
        return sum_of(rng)
    if roll < 0.80:
        return comparison(rng)
    return counting(rng) if roll < 0.96 else too_hard(rng)


def document(rng: Random) -> Document:
    """A chat, a line of sums, or a sequence."""
    roll = rng.random()
    if roll < 0.5:
        e = draw(rng, exchange, held_out=False)
        return chat(ask(rng, e.question), e.answer)
    if roll < 0.95:
        form = pick(rng, TEXTS)
        separator = pick(rng, ("\n", "\n", ", ", " ")) if not form.endswith(".") else " "
        return separator.join(_text(rng, form) for _ in range(pick(rng, (1, 1, 2, 4, 6))))
    return sequence(rng)


def _text(rng: Random, form: str) -> str:
    while True:
        op = pick(rng, "++--*")
        a, b, c = _operands(rng, op)
        if op == "*" or not is_held_out(key_of(a, op, b)):
            break
    return (
        form.replace("{a}", str(a))
        .replace("{b}", str(b))
        .replace("{c}", str(c))
        .replace("{op}", op)
        .replace("{word}", SIGNS[op][0])
    )


def sequence(rng: Random) -> str:
    """Numbers or letters in order."""
    roll = rng.random()
    if roll < 0.2:
        start = pick(rng, (0, 0, 0, int(rng.random() * 20)))
        return pick(rng, (", ", " ")).join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[start:])
    if roll < 0.32:
        some = pick(rng, (DAYS, MONTHS, DAYS[::-1], ORDINALS))
        return ", ".join(some) if rng.random() < 0.7 else " ".join(some)
    if roll < 0.4:
        start = 1 if rng.random() < 0.7 else int(rng.random() * 10)
        words = NUMBERS[start : start + 5 + int(rng.random() * 6)]
        return ", ".join(words) if rng.random() < 0.5 else ", ".join(words).capitalize() + "."
    step, n = pick(rng, (1, 1, 1, 2, 2, 3, 5, 10)), 5 + int(rng.random() * 8)
    start = pick(rng, (0, 1, step, int(rng.random() * 50)))
    return pick(rng, (", ", " ")).join(str(start + i * step) for i in range(n))


def items(rng: Random, n: int) -> list[Item]:
    """Held-out sums and differences, half as chat and half as text."""
    made = []
    for i in range(n):
        e = draw(rng, lambda r: sum_of(r, "+-"), held_out=True)
        if i % 2:
            made.append(
                Item(
                    part="arithmetic",
                    prompt=chat(typed(rng, e.question, slips=False)),
                    expected=e.accept,
                )
            )
            continue
        op = "+-"[i // 2 % 2]
        while True:
            a, b, c = _operands(rng, op)
            if is_held_out(key_of(a, op, b)):
                break
        prompt = f"{a}{op}{b}=" if rng.random() < 0.5 else f"{a} {op} {b} ="
        made.append(Item(part="arithmetic", prompt=prompt, expected=(str(c),), check="number"))
    return made


def other_items(rng: Random, n: int) -> list[Item]:
    """Held-out comparisons and counts."""
    make = (comparison, counting)
    exchanges = (draw(rng, make[i % 2], held_out=True) for i in range(n))
    return [
        Item(
            part="comparison and counting",
            prompt=chat(typed(rng, e.question, slips=False)),
            expected=e.accept,
        )
        for e in exchanges
    ]
