"""Which pages of the KV cache are used, free, or free with something worth keeping.

A full page is a *block*: 64 tokens after a given prefix. Its key is (id of the block before it,
its tokens), so two equal keys mean equal tokens from the first one on, without trusting a hash.
A page whose last user leaves keeps its block until the page is needed: the end of the queue of free
pages is also the least-recently-used order of the prefix cache. Pages that hold nothing worth keeping
come first, those used last before others: they are in the processor's caches, and no new memory is
touched while there are any.

Where there is memory to be had, the pool grows by chunks: out of plenty before it gives up a block,
out of what little is left before somebody has to wait. Whoever wants pages asks for `room` first.

Page 0 is the null page: padding points to it and it is never handed out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import count
from typing import Protocol

from nbllm.models.batch import PAGE_SIZE

from .request import Request

Key = tuple[int, tuple[int, ...]]
ROOT = 0
"""The id of the empty prefix."""
PAUSE = 64
"""Pages asked for, after memory was refused, until it is asked for again."""


def pages_for(num_tokens: int) -> int:
    """Pages that hold `num_tokens` tokens."""
    return -(-num_tokens // PAGE_SIZE)


class Memory(Protocol):
    """What pages lie in: chunks of `chunk` pages, the last one may be shorter; the `mapped` are there."""

    chunk: int
    mapped: list[bool]

    @property
    def num_bytes(self) -> int:
        """Bytes that are there."""
        ...

    @property
    def bound(self) -> int:
        """Bytes that may be there at most."""
        ...

    def map(self, chunk: int, eager: bool = False) -> bool:
        """Get zeroed memory for a chunk; False: there is none. eager: only if there is plenty."""
        ...

    def unmap(self, chunks: list[int]) -> None:
        """Give the memory of chunks back, with all that is in it."""
        ...

    def scarce(self) -> bool:
        """Whether the device has little left for others."""
        ...

    def state(self) -> str:
        """What there is, as a part of a sentence."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Numbers:
    """Memory for pages that are only numbers."""

    num_bytes = bound = 0

    def __init__(self, num_pages: int):
        self.chunk, self.mapped = num_pages, [True]

    def map(self, chunk: int, eager: bool = False) -> bool:
        self.mapped[chunk] = True
        return True

    def unmap(self, chunks: list[int]) -> None:
        for chunk in chunks:
            self.mapped[chunk] = False

    def scarce(self) -> bool:
        return False

    def state(self) -> str:
        return "nothing is there"

    def close(self) -> None: ...


class PagePool:
    """Reference counts of pages 1 … num_pages - 1, the free ones, and the blocks they hold."""

    def __init__(self, num_pages: int, *, reuse: bool = True, memory: Memory | None = None):
        self.num_pages, self.reuse = num_pages, reuse
        self.memory: Memory = memory or Numbers(num_pages)
        self.num_asked = self.num_hit = 0  # prompt tokens looked up, and found
        self.refs = [0] * num_pages
        # free pages that are there: those without a block, the next one last; those with one, it first
        self.blank: dict[int, None] = {}
        self.cached: OrderedDict[int, None] = OrderedDict()
        self._pauses = {True: 0, False: 0}
        self._ids = count(ROOT + 1)  # never used twice: requests remember them
        self._key_of: dict[int, Key] = {}
        self._page_of: dict[Key, int] = {}
        self._block_of: dict[int, int] = {}
        self.rebuild(())

    @property
    def num_free(self) -> int:
        """Pages that nobody uses, whether or not there is memory behind them by now."""
        chunks = range(len(self.memory.mapped))
        absent = sum(len(self._pages_in(c)) for c in chunks if not self.memory.mapped[c])
        return absent + len(self.blank) + len(self.cached)

    def room(self, count: int, besides: int = 0) -> bool:
        """Whether `count` pages can be taken, after getting memory for what is lacking.

        besides: free pages that are about to be shared.
        """
        while len(self.blank) < count and self._get_memory(eager=True):
            pass
        while (there := len(self.blank) + len(self.cached) - besides) < count:
            if not self._get_memory(eager=False):
                return False
        return there >= count

    def insist(self) -> None:
        """Let the next `room` ask for memory, even if it was refused a moment ago."""
        self._pauses = {True: 0, False: 0}

    def take(self, count: int) -> list[int]:
        """`count` free pages, the least worth keeping first; the caller has asked for `room`."""
        taken = []
        for _ in range(count):
            if not self.blank:
                self._forget_block(next(iter(self.cached)))  # which makes it a blank one
            page, _ = self.blank.popitem()
            self.refs[page] = 1
            taken.append(page)
        return taken

    def share(self, pages: Iterable[int]) -> None:
        """One more reference to pages that `find` named."""
        for page in pages:
            self.cached.pop(page, None)
            self.refs[page] += 1

    def drop(self, pages: list[int]) -> None:
        """Give back one reference to each page of a request."""
        # the end of a sequence is worth less than its beginning, so it is to be reused first
        for page in reversed(pages):
            self.refs[page] -= 1
            if self.refs[page] == 0:
                (self.cached if page in self._key_of else self.blank)[page] = None

    def shrink(self, *, everything: bool = False) -> None:
        """Give chunks that nobody uses back while memory is scarce; everything: all of them.

        Those with the fewest blocks go first. The first chunk, with the null page, stays.
        """
        mapped = self.memory.mapped
        if not everything and (sum(mapped) < 2 or not self.memory.scarce()):
            return
        idle = [c for c in range(1, len(mapped)) if mapped[c] and not self._used(c)]
        idle.sort(key=lambda c: sum(p in self.cached for p in self._pages_in(c)))
        if everything:
            self._discard(idle)
            return
        for chunk in idle:
            if not self.memory.scarce():
                return
            self._discard([chunk])

    def leave(self) -> None:
        """Give all memory back; nobody may have pages, and every block is forgotten."""
        self.forget_blocks()
        self._discard([c for c, mapped in enumerate(self.memory.mapped) if mapped])

    def come_back(self) -> bool:
        """After `leave`: get the first chunk; False if there is no memory for it."""
        there = self.memory.mapped[0] or self.memory.map(0)
        if there:
            self.rebuild(())
        return there

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
            page = self._page_of.setdefault(key := (before, tokens), request.pages[i])
            if page not in self._block_of:
                self._key_of[page] = key
                self._block_of[page] = next(self._ids)
            request.chain.append(self._block_of[page])

    def forget_blocks(self) -> None:
        """Empty the prefix cache; pages in use stay in use."""
        for page in [*self._key_of]:
            self._forget_block(page)

    def rebuild(self, held: Iterable[list[int]]) -> None:
        """Count again from the page lists that are in use; every other page is free."""
        refs = [0] * self.num_pages
        for pages in held:
            for page in pages:
                refs[page] += 1
        mapped = [c for c, there in enumerate(self.memory.mapped) if there]
        there = dict.fromkeys(page for chunk in mapped for page in self._pages_in(chunk))
        # an interrupt may have separated the three maps of a block
        keys = {p: k for k, p in self._page_of.items() if self._key_of.get(p) == k and p in there}
        keys = {p: k for p, k in keys.items() if p in self._block_of}
        self._page_of = {k: p for p, k in keys.items()}
        self._key_of, self._block_of = keys, {p: self._block_of[p] for p in keys}
        free = [page for page in there if not refs[page]]
        known = [p for p in self.cached if p in keys and not refs[p]]
        cached = OrderedDict.fromkeys([*known, *(p for p in free if p in keys)])
        blank = [p for p in self.blank if p in there and not refs[p] and p not in keys]
        lost = sorted((p for p in free if p not in keys and p not in self.blank), reverse=True)
        self.refs, self.cached, self.blank = refs, cached, dict.fromkeys([*lost, *blank])

    def _get_memory(self, eager: bool) -> bool:
        """A chunk more; False if there is no other, or no memory for it."""
        if self._pauses[eager] or False not in self.memory.mapped:
            self._pauses[eager] = max(0, self._pauses[eager] - 1)
            return False
        chunk = self.memory.mapped.index(False)
        if not self.memory.map(chunk, eager):
            self._pauses[eager] = PAUSE
            return False
        self.blank = dict.fromkeys(reversed(self._pages_in(chunk))) | self.blank
        return True

    def _discard(self, chunks: list[int]) -> None:
        for page in (page for chunk in chunks for page in self._pages_in(chunk)):
            self._forget_block(page)
            self.blank.pop(page, None)
        self.memory.unmap(chunks)

    def _pages_in(self, chunk: int) -> range:
        """Pages of a chunk, but for the null page."""
        start = chunk * self.memory.chunk
        return range(max(start, 1), min(start + self.memory.chunk, self.num_pages))

    def _used(self, chunk: int) -> bool:
        return any(self.refs[page] for page in self._pages_in(chunk))

    def _forget_block(self, page: int) -> None:
        if (key := self._key_of.get(page)) is not None:
            self._page_of.pop(key, None)
            self._block_of.pop(page, None)
            del self._key_of[page]
        if page in self.cached:
            self.blank[page] = None
            del self.cached[page]
