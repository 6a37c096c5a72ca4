"""Which pages of the KV cache are free. Page numbers only: the tensor lives in the runner.

Page 0 is the null page: padding points to it and it is never handed out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from nbllm.models.batch import PAGE_SIZE


def pages_for(num_tokens: int) -> int:
    """Pages that hold `num_tokens` tokens."""
    return -(-num_tokens // PAGE_SIZE)


class PagePool:
    """Reference counts of pages 1 … num_pages - 1 and a queue of the free ones."""

    def __init__(self, num_pages: int):
        self.num_pages = num_pages
        self.rebuild(())

    @property
    def capacity(self) -> int:
        """Tokens that fit when everything is free."""
        return (self.num_pages - 1) * PAGE_SIZE

    @property
    def num_free(self) -> int:
        return len(self.free)

    def take(self, count: int) -> list[int]:
        """`count` free pages; the caller has looked at `num_free`."""
        pages = [self.free.popleft() for _ in range(count)]
        for page in pages:
            self.refs[page] = 1
        return pages

    def drop(self, pages: Iterable[int]) -> None:
        """Give back one reference to each page."""
        for page in pages:
            self.refs[page] -= 1
            if self.refs[page] == 0:
                self.free.append(page)

    def rebuild(self, held: Iterable[list[int]]) -> None:
        """Count again from the page lists that are in use; every other page is free."""
        self.refs = [0] * self.num_pages
        for pages in held:
            for page in pages:
                self.refs[page] += 1
        self.free = deque(p for p in range(1, self.num_pages) if not self.refs[p])
