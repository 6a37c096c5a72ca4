"""The evaluation's engine: batched generation with transformers, left-padded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from .documents import END, PAD
from .evaluate import Completion
from .tokenizer import id_of


class TransformersEngine:
    """A model folder in float32, on the given device."""

    def __init__(
        self, folder: Path, device: str = "cpu", batch_size: int = 64, seed: int = 0
    ) -> None:
        logging.disable_progress_bar()
        # transformers types neither the loader's result nor what it can generate.
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)  # pyright: ignore
        self.model = model.to(device).eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.pad, self.end = (id_of(self.tokenizer, token) for token in (PAD, END))
        self.device, self.batch_size, self.seed = device, batch_size, seed

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        num_beams: int = 1,
        temperature: float = 0.0,
    ) -> list[Completion]:
        """Completions in the order of the prompts; batches hold prompts of like length."""
        torch.manual_seed(self.seed)
        ids = [self.tokenizer.encode(p, add_special_tokens=False).ids for p in prompts]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        outputs: dict[int, Completion] = {}
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch, mask = self._padded([ids[i] for i in chosen])
            sampling = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}
            out = self.model.generate(
                batch,
                attention_mask=mask,
                max_new_tokens=max_tokens,
                num_beams=num_beams,
                pad_token_id=self.pad,
                **(
                    sampling
                    if temperature
                    else {"do_sample": False, "temperature": None, "top_p": None}
                ),
            )
            for i, row in zip(chosen, out[:, batch.shape[1] :].tolist(), strict=True):
                outputs[i] = self._completion(row)
        return [outputs[i] for i in range(len(ids))]

    @torch.no_grad()
    def probability(self, prompts: Sequence[str], word: str) -> list[float]:
        """The probability of the word's first token after each prompt."""
        token = self.tokenizer.encode(word, add_special_tokens=False).ids[0]
        values = []
        for start in range(0, len(prompts), self.batch_size):
            some = prompts[start : start + self.batch_size]
            batch, mask = self._padded(
                [self.tokenizer.encode(p, add_special_tokens=False).ids for p in some]
            )
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            logits = self.model(batch, attention_mask=mask, position_ids=positions).logits[:, -1]
            values += logits.float().softmax(-1)[:, token].tolist()
        return values

    def _padded(self, ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(map(len, ids))
        batch = torch.tensor([[self.pad] * (width - len(row)) + row for row in ids])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids])
        return batch.to(self.device), mask.to(self.device)

    def _completion(self, ids: list[int]) -> Completion:
        finished = self.end in ids
        if finished:
            ids = ids[: ids.index(self.end)]
        return Completion(self.tokenizer.decode(ids, skip_special_tokens=True), finished)
