"""`python many_clients.py`: many streaming clients for a while, in a process of their own.

Reads {"host", "port", "clients", "seconds", "hang_up", "work": [[body, text], …]} from standard input.
Every client takes work by chance, again and again, and compares what it gets; a share of `hang_up`
leaves in the middle of it. Prints what came of it.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter

from clients import Stream


async def client(number: int, told: dict, end: float, found: Counter, wrong: list) -> None:
    """One client, until the time is over; what it began it finishes."""
    draw = random.Random(number)
    while time.monotonic() < end:
        body, text = draw.choice(told["work"])
        leave = draw.randint(1, 20) if draw.random() < told["hang_up"] else None
        said, ids, reason = "", set(), None
        async with Stream(told["host"], told["port"], body) as stream:
            async for event in stream.events():
                ids.add(event["id"])
                [choice] = event["choices"]
                said += choice["text"]
                reason = choice["finish_reason"] or reason
                if leave is not None and (leave := leave - 1) == 0:
                    stream.hang_up()
                    break
        found["hung up" if leave == 0 else "finished"] += 1
        found["characters"] += len(said)
        whole = leave == 0 or (stream.done and said == text and reason is not None)
        if not whole or not text.startswith(said) or len(ids) != 1:
            wrong.append([body, said, text, reason, len(ids)])


async def main() -> None:
    told, found, wrong = json.load(sys.stdin), Counter(), []
    end = time.monotonic() + told["seconds"]
    await asyncio.gather(*(client(i, told, end, found, wrong) for i in range(told["clients"])))
    print(json.dumps({**found, "wrong": wrong[:5]}))


if __name__ == "__main__":
    asyncio.run(main())
