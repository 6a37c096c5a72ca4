"""The corpus: a mix of the parts, tokenised in parallel and packed into rows.

A shard is a function of the seed and its own number, so the corpus is the same on any machine.
Ids are stored as int16 with the sign as a flag: a negative value is a token that is read but not
learnt, because a user or the system said it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Tokenizer

from . import (
    arithmetic,
    conversation,
    extraction,
    facts,
    patterns,
    prose,
    reviews,
    stories,
    translation,
)
from .documents import BOS, END, PAD, render
from .settings import Settings
from .tokenizer import id_of

# part: its documents in a thousand; stories are long and sums are short
MIX = {
    stories: 78,
    facts: 230,
    arithmetic: 180,
    translation: 212,
    reviews: 80,
    extraction: 70,
    conversation: 115,
    prose: 40,
    patterns: 20,
}
_PARTS = tuple(MIX)
_WEIGHTS = tuple(np.cumsum(list(MIX.values())) / sum(MIX.values()))
READ_ONLY = -(1 << 15)
OPEN_ROWS = 16
CHUNK = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Rows of token ids, and what they hold."""

    rows: np.ndarray  # [rows, row_length] int16
    tokens: dict[str, int]
    """Tokens of each part."""
    documents: dict[str, int]
    dropped: int
    """Documents that were longer than a row."""
    num_bytes: int


def name_of(part: object) -> str:
    """The last part of a module's name."""
    return part.__name__.rsplit(".", 1)[-1]  # type: ignore[attr-defined]


def texts(seed: str, n: int) -> Iterator[tuple[str, str]]:
    """`n` rendered documents of the mix, each with the name of its part."""
    rng = Random(seed)
    for _ in range(n):
        roll = rng.random()
        part = _PARTS[next(i for i, weight in enumerate(_WEIGHTS) if roll <= weight)]
        yield name_of(part), render(part.document(rng))


def flagged(ids: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """The ids with what a user or the system says, and every BOS, marked as read only."""
    bos, pad = id_of(tokenizer, BOS), id_of(tokenizer, PAD)
    spoken = [id_of(tokenizer, f"<|{role}|>") for role in ("system", "user")]
    marks = np.isin(ids, [bos, pad, id_of(tokenizer, "<|assistant|>"), *spoken])
    last = np.maximum.accumulate(np.where(marks, np.arange(len(ids)), 0))
    read_only = np.isin(ids[last], [*spoken, pad]) | (ids == bos)
    return np.where(read_only, ids.astype(np.int32) + READ_ONLY, ids).astype(np.int16)


class Packer:
    """Puts documents into rows, whole: each into the first of a few open rows that has room."""

    def __init__(self, row_length: int, pad: int) -> None:
        self.row_length, self.pad = row_length, pad
        self.open: list[list[int]] = []
        self.closed: list[list[int]] = []
        self.dropped = 0

    def add(self, ids: list[int]) -> None:
        """Place one document; one longer than a row is dropped and counted."""
        if len(ids) > self.row_length:
            self.dropped += 1
            return
        for i, row in enumerate(self.open):
            if len(row) + len(ids) <= self.row_length:
                row.extend(ids)
                if len(row) > self.row_length - 8:
                    self._close(i)
                return
        if len(self.open) == OPEN_ROWS:
            self._close(max(range(OPEN_ROWS), key=lambda i: len(self.open[i])))
        self.open.append(list(ids))

    def _close(self, i: int) -> None:
        row = self.open.pop(i)
        self.closed.append(row + [self.pad] * (self.row_length - len(row)))

    def rows(self) -> np.ndarray:
        """The filled rows; what is still open is left out."""
        return np.array(self.closed, dtype=np.uint16).reshape(-1, self.row_length)


def write_shard(job: tuple[Settings, int, Path, Path]) -> tuple[Counter, Counter, int, int]:
    """Write one shard as `.npy`; tokens and documents of each part, dropped documents, bytes."""
    settings, index, tokenizer_path, target = job
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    packer = Packer(settings.row_length, id_of(tokenizer, PAD))
    tokens: Counter = Counter()
    documents: Counter = Counter()
    num_bytes = 0
    n = settings.documents // settings.shards
    stream = texts(f"{settings.seed}/{index}", n)
    while chunk := list(islice(stream, CHUNK)):
        encoded = tokenizer.encode_batch_fast([text for _, text in chunk], add_special_tokens=False)
        for (part, text), encoding in zip(chunk, encoded, strict=True):
            ids = encoding.ids
            packer.add(ids)
            tokens[part] += len(ids)
            documents[part] += 1
            num_bytes += len(text.encode())
    rows = packer.rows()
    np.save(target, flagged(rows.reshape(-1), tokenizer).reshape(rows.shape))
    return tokens, documents, packer.dropped, num_bytes


def build(settings: Settings, tokenizer_path: Path, work: Path) -> Corpus:
    """The whole corpus, with one process a core."""
    # Each process tokenises by itself: threads inside it would only get in each other's way.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["RAYON_NUM_THREADS"] = "1"
    work.mkdir(parents=True, exist_ok=True)
    targets = [work / f"shard-{i:03}.npy" for i in range(settings.shards)]
    jobs = [(settings, i, tokenizer_path, target) for i, target in enumerate(targets)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    tokens: Counter = Counter()
    documents: Counter = Counter()
    dropped = num_bytes = 0
    with multiprocessing.get_context("spawn").Pool(min(cores or 1, settings.shards)) as pool:
        for shard_tokens, shard_documents, shard_dropped, shard_bytes in pool.imap(
            write_shard, jobs
        ):
            tokens += shard_tokens
            documents += shard_documents
            dropped += shard_dropped
            num_bytes += shard_bytes
    rows = np.concatenate([np.load(target) for target in targets])
    return Corpus(
        rows=rows,
        tokens=dict(tokens),
        documents=dict(documents),
        dropped=dropped,
        num_bytes=num_bytes,
    )


def plain(text: str) -> str:
    """The text without its special tokens: what the tokenizer is trained on."""
    for special in (BOS, END, "<|system|>", "<|user|>", "<|assistant|>"):
        text = text.replace(special, "\n")
    return text
