"""Turns a plan into tensors, runs the model, samples. Owns the weights and the KV cache."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from nbllm.beams import Step
from nbllm.models.batch import PAGE_SIZE, Batch, Chunk
from nbllm.models.config import ModelConfig
from nbllm.models.interface import TextGenerationModel

from .beam import Wave
from .masks import Mask, Masks
from .pages import pages_for
from .request import Request
from .rows import Rows
from .sampler import Sampler, Samples, Scores, score
from .scheduler import Plan

LOGITS = 1 << 24
"""Logits that are computed at once for scoring: 64 MiB in float32."""

LONG = 256
"""New tokens of a request beyond which computing it beside others gains nothing."""


def page_shape(config: ModelConfig) -> tuple[int, ...]:
    """One page of the KV cache: [layers, 2, K, PAGE_SIZE, D]."""
    return config.num_layers, 2, config.num_kv_heads, PAGE_SIZE, config.head_dim


def page_bytes(config: ModelConfig, dtype: torch.dtype) -> int:
    """Bytes of one page of the KV cache, all layers."""
    return prod(page_shape(config)) * dtype.itemsize


class AnyWave(Protocol):
    """Searches that step together."""

    requests: list[Request]
    steps: list[Step]  # what became of the candidates; the first num_steps of it count

    @property
    def num_steps(self) -> int: ...
    @property
    def over(self) -> bool: ...
    @property
    def done(self) -> list[Request]: ...
    def step(self, runner: Any, most: int) -> int: ...
    def release(self) -> None: ...


class Runner:
    """The model on its device. `run` takes a plan and gives a token for each request it samples."""

    def __init__(
        self, model: nn.Module, config: ModelConfig, rows: Rows, kv: Tensor, sampler: Sampler
    ):
        self.model: TextGenerationModel = cast(TextGenerationModel, model)
        self.config, self.rows, self.kv, self.sampler = config, rows, kv, sampler
        self.masks = Masks(kv.device)

    @torch.inference_mode()
    def run(self, plan: Plan) -> Samples | None:
        """Run the plan's tokens; None when no request got to its last one and none wants scores."""
        requests, index, num_sampled = plan.sampled, plan.sampled_rows, len(plan.sampled)
        mask = self._begin_mask(requests, index)  # the worker fills it while the model computes
        batch = self._batch(plan)
        hidden = self.model.forward(batch)
        scores = self._scores(plan, hidden[num_sampled:])
        if not num_sampled:
            return Samples.none(scores) if scores else None
        logits = self.model.compute_logits(hidden[:num_sampled])
        samples = self.sampler.sample(logits, index, requests, mask)
        samples.scores = scores
        return samples

    def wave(self, requests: list[Request]) -> AnyWave:
        """Searches with the same parameters, that from now on step together."""
        return Wave(requests, self.config.vocab_size, self.kv.device)

    def rest(self) -> None:
        """Wait until nothing runs, and forget where the weights and the cache are. Here: nothing."""

    def relieve(self) -> None:
        """Give the device back what is only kept for later."""
        if self.kv.device.type == "cuda":
            torch.cuda.empty_cache()

    def warm_up(self) -> None:
        """Prepare what does not depend on the weights, which are not there yet. Here: nothing."""

    def replace(self, model: nn.Module) -> None:
        """Go on with another model of the same shapes."""
        self.model = cast(TextGenerationModel, model)

    def close(self) -> None:
        """Let go of every tensor and thread. Closing twice is no error."""
        self.masks.close()
        for name in ("model", "kv", "sampler"):
            vars(self).pop(name, None)

    def _scores(self, plan: Plan, hidden: Tensor) -> list[Scores]:
        """What the prompts of the plan's chunks are worth, from the states before their tokens."""
        scores = []
        for request, start, stop in plan.chunks:
            if not (scored := request.scored(start, stop)):
                continue
            mine, hidden = hidden[: len(scored)], hidden[len(scored) :]
            targets = request.tokens[scored.start + 1 : scored.stop + 1]
            logprobs, tops = self._score(mine, targets, request.params.prompt_logprobs or 0)
            first = scored.start + 1
            scores.append(Scores(request=request, first=first, logprobs=logprobs, tops=tops))
        return scores

    def _score(self, hidden: Tensor, targets: list[int], count: int):
        """A few rows at a time: the logits of a whole prompt may be larger than the model."""
        logprobs, tops = [], []
        wanted = torch.tensor(targets, device=hidden.device)
        size = max(1, LOGITS // self.config.vocab_size)
        for states, ids in zip(hidden.split(size), wanted.split(size), strict=True):
            some, best = score(self.model.compute_logits(states), ids, count)
            logprobs += some
            tops += best
        return logprobs, tops

    def _begin_mask(self, requests: list[Request], index: np.ndarray) -> Mask | None:
        """The mask of the sampled requests that a grammar constrains; None when there are none."""
        at = np.flatnonzero(self.rows.constrained[index])
        chosen = [(m, r.tokens) for r in (requests[i] for i in at) if (m := r.matcher)]
        return self.masks.begin(at, *zip(*chosen, strict=True)) if chosen else None

    def _batch(self, plan: Plan) -> Batch:
        rows, index = self.rows, plan.rows
        lengths = rows.length[index]
        longest = int(lengths.max(initial=0))
        pages = rows.pages[index, : pages_for(longest)]
        ids, positions = [rows.last[index]], [lengths - 1]
        newest = rows.pages[index, (lengths - 1) // PAGE_SIZE]
        slots = [_slots(newest, lengths - 1)]
        last = list(range(len(index)))
        scored, at, parts = [], len(index), []
        for request, start, stop in plan.chunks:
            new = np.arange(start, stop)
            table = np.array(request.pages[: pages_for(stop)])
            ids.append(np.fromiter(request.tokens[start:stop], np.int64, stop - start))
            positions.append(new)
            slots.append(_slots(table[new // PAGE_SIZE], new))
            scored += [at + i - start for i in request.scored(start, stop)]
            parts.append((np.arange(at, at := at + stop - start), table, stop))
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
            chunks=[self._chunk(group) for group in _alike(parts)],
            last=None if last == list(range(at)) else self._put(np.array(last + scored, np.int64)),
        )

    def _chunk(self, parts: list[Part]) -> Chunk:
        """Requests side by side, the shorter ones padded."""
        tokens, tables, lengths = zip(*parts, strict=True)
        return Chunk(
            tokens=self._put(_padded(tokens, lambda a: a[-1])),
            pages=self._put(_padded(tables, lambda _: 0)),
            max_kv_len=max(lengths),
        )

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.kv.device)


Part = tuple[np.ndarray, np.ndarray, int]
"""New tokens of one request: which of the batch's, its page table, its tokens so far."""


def _alike(parts: list[Part]) -> list[list[Part]]:
    """Groups that can be padded to one shape for at most twice the work; long ones stay alone."""
    groups: dict[tuple[int, ...], list[Part]] = defaultdict(list)
    for i, part in enumerate(parts):
        new, kv_len = len(part[0]), part[2]
        alone = i if new > LONG else -1
        groups[(new - 1).bit_length(), (kv_len - 1).bit_length(), alone].append(part)
    return list(groups.values())


def _padded(arrays: Sequence[np.ndarray], filler: Callable[[np.ndarray], int]) -> np.ndarray:
    out = np.empty((len(arrays), max(map(len, arrays))), np.int64)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)], row[len(array) :] = array, filler(array)
    return out


def _slots(pages: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return pages * PAGE_SIZE + positions % PAGE_SIZE
