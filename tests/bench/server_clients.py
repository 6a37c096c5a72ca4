"""`python server_clients.py`: clients of the server, in a process of their own, with nothing but Python.

Reads {"host", "port", "at_once", "stream", "bodies"} from standard input, and prints what it took. The
answers are kept as bytes and looked at afterwards, so that clients cost the machine little.
"""

import asyncio
import json
import sys
import time


async def ask(host: str, port: int, body: bytes) -> tuple[bytes, float, float]:
    """The answer's bytes, and when its body began and ended."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    begun, got, first = time.perf_counter(), bytearray(), 0.0
    while part := await reader.read(1 << 16):
        first = first or time.perf_counter() - begun
        got += part
    writer.close()
    return bytes(got), first, time.perf_counter() - begun


async def main() -> None:
    told = json.load(sys.stdin)
    waiting = iter([json.dumps(body).encode() for body in told["bodies"]])
    answers: list[tuple[bytes, float, float]] = []

    async def client() -> None:
        for body in waiting:
            answers.append(await ask(told["host"], told["port"], body))

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(told["at_once"])))
    seconds = time.perf_counter() - begun
    counts = [usage(answer) for answer, _, _ in answers]
    first = sorted(first for _, first, _ in answers)
    found = {
        "seconds": seconds,
        "tokens": sum(counts),
        "events": sum(answer.count(b'data: {"id"') for answer, _, _ in answers),
        "first": first[len(first) // 2],
    }
    print(json.dumps(found))


def usage(answer: bytes) -> int:
    """The tokens that were generated for one request. Raises for an answer that is none."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(answer[:500])
    at = body.rindex(b'"completion_tokens":') + len(b'"completion_tokens":')
    return int(body[at : body.index(b",", at)])


if __name__ == "__main__":
    asyncio.run(main())
