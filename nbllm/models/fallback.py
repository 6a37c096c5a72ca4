"""Models that nbllm has no code for: `transformers`' own, with nbllm's cache, attention and sampler.

Its layers compute queries, keys and values; where they would attend they call `probe.attention`,
which writes to the paged cache and reads from it like any native layer. Nothing else of a model may
depend on earlier tokens; `probe` finds out. Importing this imports transformers, which takes seconds.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging

from nbllm.errors import ModelError, UnsupportedModelError

from . import probe
from .batch import PAGE_SIZE, Batch, Packed
from .config import ModelConfig, as_ids
from .layers import PagedAttention

CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
"""What configs call the model's context."""


REHEARSED = 6
"""Tokens that tell whether a model does with earlier ones what nbllm thinks."""


def foreign_config(raw: dict[str, Any], why: str) -> ModelConfig:
    """The config of a model that transformers runs; `why` it does.

    Raises `UnsupportedModelError` for one it does not know, `ModelError` for one whose state is not
    keys and values.
    """
    hf = _hf_config(raw)
    try:
        layers = _probed(_fit(hf, raw))
    except ModelError as error:
        raise ModelError(
            f"{raw['architectures'][0]} cannot run with nbllm's cache: {error}"
        ) from None
    context = next((n for name in CONTEXT if (n := getattr(hf, name, None))), None)
    if context is None:
        raise ModelError(
            f"config.json has none of {', '.join(CONTEXT)}; say how long the context is: "
            'hf_overrides={"max_position_embeddings": 2048}'
        )
    return ModelConfig(
        architecture=raw["architectures"][0],
        num_layers=len(layers),
        num_heads=layers[0].num_heads,
        num_kv_heads=layers[0].num_kv_heads,
        head_dim=layers[0].head_dim,
        hidden_size=hf.hidden_size,
        intermediate_size=getattr(hf, "intermediate_size", None) or 4 * hf.hidden_size,
        vocab_size=hf.vocab_size,
        max_length=context,
        tie_embeddings=bool(getattr(hf, "tie_word_embeddings", False)),
        dtype=raw.get("dtype") or raw.get("torch_dtype"),
        eos_token_ids=as_ids(raw.get("eos_token_id")),
        windows=tuple(layer.window for layer in layers),
        raw=raw,
        implementation=f"transformers ({why})",
    )


def _hf_config(raw: dict[str, Any]) -> Any:
    kind = raw.get("model_type", "")
    if kind not in CONFIG_MAPPING or not raw.get("architectures"):
        raise UnsupportedModelError(f"transformers has no model_type {kind!r}")
    try:
        return CONFIG_MAPPING[kind].from_dict(json.loads(json.dumps(raw), object_hook=_untagged))
    except Exception as error:
        raise ModelError(f"transformers refuses config.json: {probe.reason(error)}") from None


def _untagged(value: dict[str, Any]) -> Any:
    """What transformers writes for infinity: {"__float__": "Infinity"}."""
    return float(value["__float__"]) if value.keys() == {"__float__"} else value


def _fit(hf: Any, raw: dict[str, Any]) -> Any:
    """The config, if it is of a causal language model."""
    if getattr(hf, "is_encoder_decoder", False):
        raise ModelError("it has an encoder besides its decoder")
    if hf.get_text_config() is not hf:
        raise ModelError("it is multimodal")
    kind, known = raw["model_type"], MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if known.get(kind) != raw["architectures"][0]:
        right = f"; that of model_type {kind!r} is {known[kind]}" if kind in known else ""
        raise ModelError(f"it is no causal language model{right}")
    return hf


def _probed(hf: Any, dtype: torch.dtype = torch.bfloat16) -> list[probe.Layer]:
    with torch.device("meta"):
        causal = _new(hf, dtype)
        if getattr(causal, "_is_stateful", False):
            raise ModelError("it keeps a state beside keys and values")
        model = _Parts(causal)
        ids = torch.zeros(2, dtype=torch.int64)
    hidden = partial(model.hidden, ids, ids)
    return probe.layers_of(hidden, model.logits, hf.num_hidden_layers)


def _gpus(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _new(hf: Any, dtype: torch.dtype) -> Any:
    """The model without weights; transformers writes into the config that it is given."""
    probe.registered()
    try:
        return AutoModelForCausalLM.from_config(
            copy.deepcopy(hf), attn_implementation=probe.NAME, dtype=dtype
        ).eval()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        if isinstance(error, KeyError) and error.args == (probe.NAME,):
            raise ModelError("transformers has no attention interface for it") from None
        raise ModelError(f"transformers cannot build it ({probe.reason(error)})") from None


class _States(BaseModelOutputWithPast):
    """A decoder's output, of which nothing but the states is there."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


class _Given(nn.Module):
    """In place of a decoder: gives the hidden states that it is given."""

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> _States:
        return _States(last_hidden_state=inputs_embeds)  # pyright: ignore


class _Parts:
    """A causal language model's decoder, and what makes logits of its states."""

    def __init__(self, causal: Any):
        self.decoder = causal.base_model
        if self.decoder is causal:
            raise ModelError("its decoder and its head are not apart")
        # whatever scales or caps logits is in forward: a copy that shares everything but the decoder
        self.head = copy.copy(causal)
        self.head._modules = {**causal._modules, causal.base_model_prefix: _Given()}

    def hidden(self, ids: Tensor, positions: Tensor, attend: probe.Attend) -> Tensor:
        """ids, positions [T] -> [T, N]."""
        token = probe.ATTEND.set(attend)
        try:
            out = self.decoder(
                input_ids=ids[None],
                position_ids=positions[None],
                # without one, transformers looks into the positions for several texts in a row
                attention_mask=torch.ones_like(ids, dtype=torch.bool)[None],
                use_cache=False,
            )
        finally:
            probe.ATTEND.reset(token)
        return out[0][0]

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [R, N] -> [R, V]."""
        return self.head(inputs_embeds=hidden[None], use_cache=False).logits[0]


class TransformersModel(nn.Module):
    """A `TextGenerationModel` around a model of transformers, which `fill` brings."""

    def __init__(self, c: ModelConfig, dtype: torch.dtype, device: torch.device):
        super().__init__()
        self.c, self.hf, self.dtype, self.device = c, _hf_config(c.raw), dtype, device
        # on a CPU whatever is traced runs; on a GPU some operations are of some types only
        traced = _probed(self.hf, dtype if device.type == "cuda" else torch.bfloat16)
        self.layers = [
            PagedAttention(i, x.head_dim, window=x.window, scale=x.scale, softcap=x.softcap)
            for i, x in enumerate(traced)
        ]

    def fill(self, folder: Path | None) -> None:
        """Load the weights of a folder, or make a model without any."""
        if folder is None:
            # a large one's random weights take minutes on a CPU; nobody's generator is drawn from
            with torch.random.fork_rng(_gpus(self.device)), self.device:
                causal = _new(self.hf, self.dtype)
        else:
            causal = _loaded(folder, self.hf, self.dtype)
        self.causal = causal.to(self.device).requires_grad_(False)
        self.parts = _Parts(self.causal)
        if folder is not None:
            self._rehearse()

    @torch.inference_mode()
    def _rehearse(self) -> None:
        """A few tokens here, and by transformers alone: raise `ModelError` if they differ.

        Probing does not see everything that a model may do with earlier tokens.
        """
        ids = torch.arange(REHEARSED, device=self.device) + 1
        mine = self.compute_logits(self._in_two_steps(ids))
        self.causal.set_attn_implementation("eager")
        try:
            theirs = self.causal(input_ids=ids[None], use_cache=False).logits[0]
        finally:
            self.causal.set_attn_implementation(probe.NAME)
        error = (mine.float() - theirs.float()).norm() / theirs.float().norm()
        if not error <= (1e-3 if self.dtype == torch.float32 else 5e-2):
            name = type(self.causal).__name__
            raise ModelError(
                f"{name} gives other logits with nbllm's cache than without (by {float(error):.0%}): it "
                "must keep a state beside keys and values"
            )

    def _in_two_steps(self, ids: Tensor) -> Tensor:
        """Hidden states of a short prompt, the last token of which is decoded."""
        layers, c = self.layers, self.c
        shape = 2, len(layers), 2, c.num_kv_heads, PAGE_SIZE, c.head_dim
        kv = torch.zeros(shape, dtype=self.dtype, device=self.device)
        numbers = torch.arange(len(ids) + 1, device=self.device)
        page, count = torch.ones_like(numbers[:1])[:, None], len(ids) - 1
        prompt = Packed(
            q_starts=numbers[[0, count]], pages=page, kv_lens=numbers[count : count + 1]
        )
        states = []
        for start, packed in (0, prompt), (count, Packed()):
            new = slice(start, count if start == 0 else count + 1)
            batch = Batch(
                ids=ids[new],
                positions=numbers[new],
                slots=numbers[new] + PAGE_SIZE,
                kv=kv,
                pages=page,
                kv_lens=numbers[count + 1 :] if start else numbers[:0],
                max_kv_len=0,
                chunks=[],
                last=None,
                packed=packed,
            )
            states.append(self(batch))
        return torch.cat(states)

    def forward(self, batch: Batch) -> Tensor:
        """Final hidden states [R, N] of the tokens that `batch.last` names."""
        attend = partial(self._attend, batch)
        x = self.parts.hidden(batch.ids.long(), batch.positions.long(), attend)
        return x if batch.last is None else x[batch.last]

    def compute_logits(self, hidden: Tensor) -> Tensor:
        """hidden [R, N] -> [R, V]."""
        return self.parts.logits(hidden)

    def _attend(
        self, batch: Batch, module: Any, q: Tensor, k: Tensor, v: Tensor, _: Any, **__: Any
    ) -> Tensor:
        """As `probe.Notes` has it, on packed tokens: [1, heads, T, D]."""
        packed = (x[0].transpose(0, 1).contiguous() for x in (q, k, v))
        out = self.layers[module.layer_idx](*packed, batch)
        return out.view(1, q.shape[2], q.shape[1], q.shape[3]).transpose(1, 2)


def _loaded(folder: Path, hf: Any, dtype: torch.dtype) -> Any:
    probe.registered()
    try:
        with _quiet():
            return AutoModelForCausalLM.from_pretrained(
                folder,
                config=copy.deepcopy(hf),
                dtype=dtype,
                attn_implementation=probe.NAME,
                use_safetensors=True,
            ).eval()
    except Exception as error:
        raise ModelError(f"transformers cannot load {folder}: {probe.reason(error)}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bar of transformers."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
