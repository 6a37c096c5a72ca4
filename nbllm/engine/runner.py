"""Turns a plan into tensors, runs the model, samples. Owns the weights and the KV cache."""

from __future__ import annotations

import mmap
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor, nn

from nbllm.models.batch import PAGE_SIZE, Batch, Chunk
from nbllm.models.config import ModelConfig

from .masks import Mask, Masks
from .pages import pages_for
from .request import Request
from .rows import Rows
from .sampler import Samples, sample
from .scheduler import Plan


def page_bytes(config: ModelConfig, dtype: torch.dtype) -> int:
    """Bytes of one page of the KV cache, all layers."""
    shape = (config.num_layers, 2, config.num_kv_heads, PAGE_SIZE, config.head_dim)
    return int(np.prod(shape)) * dtype.itemsize


class Runner:
    """The model on its device. `run` takes a plan and gives a token for each request it samples."""

    def __init__(self, model: nn.Module, config: ModelConfig, rows: Rows, kv: Tensor):
        self.model, self.config, self.rows, self.kv = model, config, rows, kv
        self.masks = Masks(kv.device)

    @torch.inference_mode()
    def run(self, plan: Plan) -> Samples | None:
        """Run the plan's tokens; None when no request got to its last one."""
        requests, index = plan.sampled, plan.sampled_rows
        mask = self._begin_mask(requests, index)  # the worker fills it while the model computes
        batch = self._batch(plan)
        logits = self.model(batch)
        return sample(logits, self.rows, index, requests, mask) if requests else None

    def close(self) -> None:
        """Let go of every tensor and thread."""
        self.masks.close()
        del self.model, self.kv

    def _begin_mask(self, requests: list[Request], index: np.ndarray) -> Mask | None:
        """The mask of the sampled requests that a grammar constrains; None when there are none."""
        at = np.flatnonzero(self.rows.constrained[index])
        chosen = [(m, r.tokens) for r in (requests[i] for i in at) if (m := r.matcher)]
        return self.masks.begin(at, *zip(*chosen, strict=True)) if chosen else None

    def _batch(self, plan: Plan) -> Batch:
        rows, lengths = self.rows, self.rows.length[plan.rows]
        longest = int(lengths.max(initial=0))
        pages = rows.pages[plan.rows, : pages_for(longest)]
        ids, positions = [rows.last[plan.rows]], [lengths - 1]
        newest = rows.pages[plan.rows, (lengths - 1) // PAGE_SIZE]
        slots = [_slots(newest, lengths - 1)]
        chunks, last, at = [], list(range(len(lengths))), len(lengths)
        for request, start, stop in plan.chunks:
            new = np.arange(start, stop)
            table = np.array(request.pages[: pages_for(stop)])
            ids.append(np.array(request.tokens[start:stop]))
            positions.append(new)
            slots.append(_slots(table[new // PAGE_SIZE], new))
            chunk = slice(at, at := at + stop - start)
            chunks.append(Chunk(tokens=chunk, pages=self._put(table[None]), kv_len=stop))
            if stop == len(request.tokens):
                last.append(at - 1)
        return Batch(
            ids=self._put(np.concatenate(ids)),
            positions=self._put(np.concatenate(positions)),
            slots=self._put(np.concatenate(slots)),
            kv=self.kv,
            pages=self._put(pages),
            kv_lens=self._put(lengths),
            max_kv_len=longest,
            chunks=chunks,
            last=None if len(last) == at else self._put(np.array(last, np.int64)),
        )

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.kv.device)


def _slots(pages: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return pages * PAGE_SIZE + positions % PAGE_SIZE


def new_cache(
    num_pages: int, config: ModelConfig, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """A cache of `num_pages`, zeroed: kv [P, layers, 2, K, PAGE_SIZE, D]."""
    shape = (num_pages, config.num_layers, 2, config.num_kv_heads, PAGE_SIZE, config.head_dim)
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # anonymous memory is zero and costs nothing until it is touched; huge pages, where there are
    # any, since a step touches a few bytes in many places
    memory = mmap.mmap(-1, int(np.prod(shape)) * dtype.itemsize)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(shape)
