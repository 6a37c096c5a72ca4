"""How much one request, and all of them together, may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...errors import ParamError
from .errors import ApiError

RETRY_AFTER = 1
"""Seconds after which a client is told to come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """max_body_bytes: of a request's body. max_batch: completions that one request may ask for,
    prompts times n. max_queue: completions that run or wait at a time. max_requests: requests that
    are read or answered at a time. What is more than the last two is answered 503.
    """

    max_body_bytes: int = 16 << 20
    max_batch: int = 1024
    max_queue: int = 4096
    max_requests: int = 1024

    def __post_init__(self) -> None:
        if not 1 <= self.max_batch <= self.max_queue:
            raise ParamError(
                f"max_batch must be at least 1 and at most max_queue={self.max_queue}, "
                f"got {self.max_batch}"
            )
        for name in ("max_body_bytes", "max_requests"):
            if getattr(self, name) < 1:
                raise ParamError(f"{name} must be at least 1, got {getattr(self, name)}")

    def check_batch(self, num_prompts: int, n: int) -> int:
        """How many completions that is. Raises `ParamError` for too many."""
        if num_prompts * n > self.max_batch:
            raise ParamError(
                f"one request may ask for {self.max_batch} completions (--max-batch); this one asks "
                f"for {num_prompts * n}, n={n} times {num_prompts} prompt{'s' * (num_prompts != 1)}"
            )
        return num_prompts * n


class Room:
    """Places for so many of something, and how many are taken."""

    def __init__(self, size: int, what: str):
        self.size, self.what, self.taken = size, what, 0

    @contextmanager
    def reserve(self, count: int) -> Iterator[None]:
        """Take places as long as the block runs. Raises 503 if there are not as many."""
        if self.taken + count > self.size:
            raise ApiError(
                503,
                f"the queue is full: {self.taken} of {self.size} {self.what}; try again",
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        self.taken += count
        try:
            yield
        finally:
            self.taken -= count
