"""Prompts of any lengths, and what was made of them."""

import random


def prompts(count: int, longest: int = 90, seed: int = 0) -> list[list[int]]:
    r = random.Random(seed)
    return [[r.randrange(256) for _ in range(r.randint(1, longest))] for _ in range(count)]


def tokens(outputs) -> list[list[int]]:
    return [o.outputs[0].token_ids for o in outputs]
