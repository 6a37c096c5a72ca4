"""Which pages of the KV cache are used, free, or free with something worth keeping.

A full page is a *block*: 64 tokens after a given prefix. Its key is (id of the block before it,
its tokens), so two equal keys mean equal tokens from the first one on, without trusting a hash.
A page whose last user leaves keeps its block until the page is needed: the end of the queue of free
pages is also the least-recently-used order of the prefix cache. Pages that hold nothing worth keeping
come first, those used last before others: they are in the processor's caches, and no new memory is
touched while there are any.

Page 0 is the null page: padding points to it and it is never handed out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import count

from nbllm.models.batch import PAGE_SIZE

from .request import Request

Key = tuple[int, tuple[int, ...]]
ROOT = 0
"""The id of the empty prefix."""


def pages_for(num_tokens: int) -> int:
    """Pages that hold `num_tokens` tokens."""
    return -(-num_tokens // PAGE_SIZE)


class PagePool:
    """Reference counts of pages 1 … num_pages - 1, the free ones, and the blocks they hold."""

    def __init__(self, num_pages: int, *, reuse: bool = True):
        self.num_pages, self.reuse = num_pages, reuse
        self.num_asked = self.num_hit = 0  # prompt tokens looked up, and found
        self.refs = [0] * num_pages
        self.free: OrderedDict[int, None] = OrderedDict.fromkeys(range(1, num_pages))
        self._ids = count(ROOT + 1)  # never used twice: requests remember them
        self._key_of: dict[int, Key] = {}
        self.forget_blocks()

    @property
    def num_free(self) -> int:
        return len(self.free)

    def take(self, count: int) -> list[int]:
        """`count` free pages, the least worth keeping first; the caller has looked at `num_free`."""
        taken = []
        for _ in range(count):
            page = next(iter(self.free))
            if page in self._key_of:
                self._forget_block(page)
            del self.free[page]
            self.refs[page] = 1
            taken.append(page)
        return taken

    def share(self, pages: Iterable[int]) -> None:
        """One more reference to pages that `find` named."""
        for page in pages:
            self.free.pop(page, None)
            self.refs[page] += 1

    def drop(self, pages: list[int]) -> None:
        """Give back one reference to each page of a request."""
        # the end of a sequence is worth less than its beginning, so it is to be reused first
        for page in reversed(pages):
            self.refs[page] -= 1
            if self.refs[page] == 0:
                self.free[page] = None
                self.free.move_to_end(page, last=page in self._key_of)

    def find(
        self, tokens: list[int], most: int | None = None
    ) -> tuple[list[int], list[int], Key | None]:
        """The pages of the longest known prefix, their blocks' ids, and the first unknown key.

        most: tokens that may be reused; all but one by default, since something has to be computed
        to get logits.
        """
        pages, chain = [], []
        most = len(tokens) - 1 if most is None else most
        for at in range(0, most - PAGE_SIZE + 1, PAGE_SIZE) if self.reuse else ():
            key = (chain[-1] if chain else ROOT, tuple(tokens[at : at + PAGE_SIZE]))
            if (page := self._page_of.get(key)) is None:
                return pages, chain, key
            pages.append(page)
            chain.append(self._block_of[page])
        return pages, chain, None

    def publish(self, request: Request) -> None:
        """Let others find the pages that `request` has filled since the last call."""
        if not self.reuse:
            return
        for i in range(len(request.chain), request.num_cached // PAGE_SIZE):
            before = request.chain[-1] if request.chain else ROOT
            tokens = tuple(request.tokens[i * PAGE_SIZE : (i + 1) * PAGE_SIZE])
            page = self._page_of.setdefault((before, tokens), request.pages[i])
            if page not in self._block_of:
                self._key_of[page] = (before, tokens)
                self._block_of[page] = next(self._ids)
            request.chain.append(self._block_of[page])

    def forget_blocks(self) -> None:
        """Empty the prefix cache; pages in use stay in use."""
        for page in self._key_of:
            if page in self.free:
                self.free.move_to_end(page, last=False)
        self._page_of: dict[Key, int] = {}
        self._key_of = {}
        self._block_of: dict[int, int] = {}

    def rebuild(self, held: Iterable[list[int]]) -> None:
        """Count again from the page lists that are in use; every other page is free."""
        refs = [0] * self.num_pages
        for pages in held:
            for page in pages:
                refs[page] += 1
        lost = [p for p in range(1, self.num_pages) if not refs[p] and p not in self.free]
        order = [*(p for p in self.free if not refs[p]), *lost]
        self.refs, self.free = refs, OrderedDict.fromkeys(order)
        # an interrupt may have separated the three maps of a block
        self._page_of = {k: p for k, p in self._page_of.items() if self._key_of.get(p) == k}
        whole = {p for p in self._page_of.values() if p in self._block_of}
        self._page_of = {k: p for k, p in self._page_of.items() if p in whole}
        self._key_of = {p: k for p, k in self._key_of.items() if p in whole}
        self._block_of = {p: b for p, b in self._block_of.items() if p in whole}

    def _forget_block(self, page: int) -> None:
        if (key := self._key_of.get(page)) is not None:
            self._page_of.pop(key, None)
            self._block_of.pop(page, None)
            del self._key_of[page]
