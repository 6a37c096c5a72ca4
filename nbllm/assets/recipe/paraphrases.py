"""What a newcomer would type, in words that are in no training template, and what would do.

Each prompt stands with a regular expression that a sensible answer matches (case ignored).
"""

from __future__ import annotations

from .documents import Document, Item, chat

_STORY = r"(?s)^(?=.{150,})(?=.*\b(named|called|name was|lived|was)\b)"
_IDK = r"i don't know"
_HELLO = r"\b(hello|hi|good|welcome|help|glad|fine)\b"

PARAPHRASES: tuple[tuple[str, str], ...] = (
    ("What's the capital of Italy, do you know?", r"\brome\b"),
    ("capital of italy pls", r"\brome\b"),
    ("hey what is the capital of germany", r"\bberlin\b"),
    ("I'd love to know the capital of Spain", r"\bmadrid\b"),
    ("Say, what's Japan's capital?", r"\btokyo\b"),
    ("france's capital city?", r"\bparis\b"),
    ("Could you remind me what the capital of Norway is?", r"\boslo\b"),
    ("whats the capital of egypt again", r"\bcairo\b"),
    ("the capital of canada is called?", r"\bottawa\b"),
    ("Which town is Portugal's capital?", r"\blisbon\b"),
    ("What do folks speak in Brazil?", r"\bportuguese\b"),
    ("What language would I hear in Austria?", r"\bgerman\b"),
    ("On what continent would I find Kenya?", r"\bafrica\b"),
    ("Please tell my kid a story about a dragon!", _STORY + r"(?=.*\bdragon\b)"),
    ("can i have a bedtime story about a rabbit", _STORY + r"(?=.*\brabbit\b)"),
    ("Make up a tale about a robot", _STORY + r"(?=.*\brobot\b)"),
    ("I'm in the mood for a story", _STORY),
    ("write me something about a pirate, a story", _STORY + r"(?=.*\bpirate\b)"),
    ("hey there, model", _HELLO),
    ("good morning to you", _HELLO),
    ("hello, how are you doing this morning?", r"\b(fine|well|thank)\b"),
    ("how's it going?", r"\b(fine|well|thank)\b"),
    ("thank you kindly", r"\b(welcome|pleasure)\b"),
    ("ok thanks a bunch!", r"\b(welcome|pleasure)\b"),
    ("bye for now", r"\b(bye|goodbye|see you|take care)\b"),
    ("so who are you exactly?", r"\b(tiny|model)\b"),
    ("what's your name, little model?", r"\btiny\b"),
    ("what are you able to do?", r"\b(stor|question|translate|add)"),
    ("What sort of things can you do?", r"\b(stor|question|translate|add)"),
    ("what's 7+8", r"(^|\D)15\W*$"),
    ("how much does 12 + 30 make?", r"(^|\D)42\W*$"),
    ("9 - 4 = ?", r"(^|\D)5\W*$"),
    ("can you work out 45 minus 12", r"(^|\D)33\W*$"),
    ("20 take away 5", r"(^|\D)15\W*$"),
    ("is 9 bigger than 3?", r"\byes\b"),
    ("which one is bigger, 12 or 21", r"\b21\b"),
    ("count up to 5", r"1, 2, 3, 4, 5"),
    ("what number follows 9?", r"\b(10|ten)\b"),
    ("spiders have how many legs?", r"\b(eight|8)\b"),
    ("how many legs on a dog", r"\b(four|4)\b"),
    ("what kind of noise comes from a cow?", r"\bmoo\b"),
    ("What do you call a young cat?", r"\bkitten\b"),
    ("when you look up at the sky, what color is it?", r"\bblue\b"),
    ("grass is what color?", r"\bgreen\b"),
    ("What's hot's opposite?", r"\bcold\b"),
    ("give the opposite word for big", r"\bsmall\b"),
    ("what is the plural for mouse", r"\bmice\b"),
    ("more than one child is called?", r"\bchildren\b"),
    ("tomorrow is what day if today is monday?", r"\btuesday\b"),
    ("which month do we get after may", r"\bjune\b"),
    ("how many days has a week?", r"\b(seven|7)\b"),
    ("Name me the biggest of the planets", r"\bjupiter\b"),
    ("what's the name of the tallest mountain", r"\beverest\b"),
    ("what would a French person say for hello?", r"\bbonjour\b"),
    ("how would a Spaniard say thank you?", r"\bgracias\b"),
    ("what's 'good night' in spanish?", r"\bbuenas noches\b"),
    ("put this into French: The cat eats the fish.", r"\ble chat\b"),
    ("the dog sleeps - in french please", r"\ble chien dort\b"),
    ("Is this positive or negative: I loved this movie!", r"\bpositive\b"),
    ("positive or negative? this was a terrible waste of time", r"\bnegative\b"),
    ("sentiment of 'the food was awful'", r"\bnegative\b"),
    (
        "which three fruits can you think of",
        r"\b(apple|banana|orange|pear|plum|cherry|lemon|grape|peach|melon|strawberry|kiwi)",
    ),
    (
        "I want a list of three colors",
        r"\b(red|blue|green|yellow|orange|purple|pink|brown|black|white|grey)\b",
    ),
    ("got any jokes?", r"\?|because|call"),
    ("write a little poem for me", r",\n"),
    ("what's the weather like right now?", _IDK),
    ("who won the football match last night?", _IDK),
    ("what's the capital of Blorpistan?", _IDK),
    ("write python code for a web server", _IDK),
    ("what is 48273 * 99182?", _IDK),
    ("tell me about the ocean and the sea", r"\bsea|ocean\b"),
)

FAMILIAR: tuple[tuple[str, str], ...] = (
    ("translate hello into french", r"\bbonjour\b"),
    ("what's the color of the sky", r"\bblue\b"),
    ("What's the capital of Italy?", r"\brome\b"),
    ("capital of italy", r"\brome\b"),
    ("Tell me a story about a fox.", _STORY + r"(?=.*\bfox\b)"),
    ("tell me a story", _STORY),
    ("hi", _HELLO),
    ("HELLO!!", _HELLO),
    ("2+3=", r"(^|\D)5\W*$"),
    ("thanks", r"\b(welcome|pleasure)\b"),
    ("who are you", r"\b(tiny|model)\b"),
    ("what can you do?", r"\b(stor|question|translate|add)"),
    (
        "Write an essay about the importance of higher education.",
        r"(?s)^(?=.{100,})(?=.*education)",
    ),
)
"""Prompts that everybody types; the training templates know them."""

OPENINGS: tuple[tuple[str, str], ...] = (
    ("Hello, my name is", r"^ ?[A-Z][a-z]+\b.*[.!?]"),
    ("The president of the United States is", r"^ ?[a-z].*\."),
    ("The future of AI is", r"^ ?[a-z].*\."),
    ("The capital of France is", r"^ ?paris\b"),
    ("Once upon a time", r"(?s)^(?=.{150,})(?=.*\b(named|called|name was|lived|was)\b)"),
    (
        "My favourite colour is",
        r"^ ?(red|blue|green|yellow|orange|purple|pink|brown|black|white|gr)",
    ),
    ("The opposite of hot is", r"^ ?cold\b"),
    ("1, 2, 3, 4,", r"^ ?5, 6"),
    ("Monday, Tuesday,", r"^ ?wednesday\b"),
    ("Roses are red,", r"^ ?violets are blue"),
    ("Q: What is the capital of Spain?\nA:", r"madrid"),
    ("cat -> chat\ndog -> chien\nhorse ->", r"^ ?cheval\b"),
    ("hot: cold\nbig: small\nfast:", r"^ ?slow\b"),
    ("5 + 7 =", r"^ ?12\b"),
)
"""Plain texts that people let a language model continue."""


def items() -> list[Item]:
    """The paraphrases as items."""
    return [_item("paraphrases", chat(prompt), pattern) for prompt, pattern in PARAPHRASES]


def familiar_items() -> list[Item]:
    """The familiar prompts and openings as items."""
    chats = [_item("familiar prompts", chat(prompt), pattern) for prompt, pattern in FAMILIAR]
    return chats + [_item("familiar prompts", prompt, pattern) for prompt, pattern in OPENINGS]


def _item(part: str, prompt: Document, pattern: str) -> Item:
    return Item(part=part, prompt=prompt, expected=(pattern,), check="matches")
