"""Text to token ids and back, with the `tokenizers` library alone: transformers takes seconds to import."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from nbllm.errors import ModelError
from nbllm.models.load import read_json


class Tokenizer:
    """A fast tokenizer with what its folder says about it."""

    def __init__(self, backend: Backend, config: dict[str, Any], folder: Path | None = None):
        self.backend = backend
        self.backend.no_padding()
        self.backend.no_truncation()
        self.config, self.folder = config, folder

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """The tokenizer of a model folder; one without tokenizer.json is converted by transformers."""
        config = read_json(folder / "tokenizer_config.json")
        if (folder / "tokenizer.json").is_file():
            try:
                backend = Backend.from_file(str(folder / "tokenizer.json"))
            except Exception as error:  # the library raises bare Exception
                raise ModelError(f"{folder / 'tokenizer.json'} cannot be read: {error}") from None
            return cls(backend, config, folder)
        from transformers import AutoTokenizer

        try:
            return cls.from_object(AutoTokenizer.from_pretrained(folder), config, folder)
        except (OSError, ValueError, ImportError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"{folder} holds no usable tokenizer: {reason}") from None

    @classmethod
    def from_object(cls, tokenizer, config: dict | None = None, folder: Path | None = None):
        """From a transformers fast tokenizer or a `tokenizers.Tokenizer`."""
        backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if not isinstance(backend, Backend):
            raise ModelError(
                f"tokenizer must be a name, a folder or a fast tokenizer, got {type(tokenizer).__name__}"
            )
        config = config or {
            "chat_template": getattr(tokenizer, "chat_template", None),
            **getattr(tokenizer, "special_tokens_map", {}),
        }
        # a copy, since a user's tokenizer may have padding or truncation switched on
        return cls(Backend.from_str(backend.to_str()), config, folder)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return self.backend.encode(text, add_special_tokens=add_special_tokens).ids

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        return self.backend.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one token, which need not be whole characters."""
        text = self.decode([token], skip_special_tokens=False)
        if "\ufffd" not in text:
            return text.encode()
        stored = self.backend.id_to_token(token) or ""
        if found := re.fullmatch(r"<0x([0-9A-F]{2})>", stored):
            return bytes.fromhex(found[1])
        table = _byte_level()
        known = all(c in table for c in stored)
        return bytes(table[c] for c in stored) if known else text.encode()

    def special_token(self, name: str) -> str | None:
        """The text of "bos_token", "eos_token" …; configs hold a string or a dictionary."""
        token = self.config.get(name)
        return token.get("content") if isinstance(token, dict) else token

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """The ids of special tokens."""
        added = self.backend.get_added_tokens_decoder()
        return frozenset(i for i, token in added.items() if token.special)

    @property
    def eos_token_id(self) -> int | None:
        token = self.special_token("eos_token")
        return None if token is None else self.backend.token_to_id(token)


@cache
def _byte_level() -> dict[str, int]:
    """The characters by which byte-level vocabularies write bytes: printable ones stand for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(0x100) if b not in set(printable)]
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}


class TokenText:
    """The text of a growing list of ids, decoded a few at a time.

    A token may be a part of a character, and its text may depend on its neighbours; so the new ids
    are decoded together with the few before them, and text that ends inside a character waits.
    The state is one tuple, replaced whole: an interrupt or a second reader never sees half of it.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        skip_special_tokens: bool = True,
        spaces_between_special_tokens: bool = True,
    ):
        self.tokenizer, self.skip = tokenizer, skip_special_tokens
        self.spaces = skip_special_tokens or spaces_between_special_tokens
        # ids read, start of the window, ids whose text is out, that text
        self._state: tuple[int, int, int, str] = (0, 0, 0, "")

    def sofar(self, ids: Sequence[int]) -> str:
        """The text that is certain: without a last character that is still incomplete."""
        read, start, out, text = self._state
        if behind := len(ids) < read:
            # another thread has read newer tokens meanwhile; their text is none of these ids'
            read, start, out, text = 0, 0, 0, ""
        for end in range(read + 1, len(ids) + 1):
            before, window = self.whole(ids[start:out]), self.whole(ids[start:end])
            if len(window) > len(before) and not window.endswith("\ufffd"):
                text, start, out = text + window[len(before) :], out, end
        if not behind:
            self._state = (len(ids), start, out, text)
        return text

    def whole(self, ids: Sequence[int]) -> str:
        """The text of exactly these ids; an incomplete last character becomes U+FFFD."""
        if self.spaces:
            return self.tokenizer.decode(ids, skip_special_tokens=self.skip)
        special = self.tokenizer.special_ids
        # some decoders put a space before a special token: two in a row are decoded apart
        cuts = [i for i in range(1, len(ids)) if ids[i] in special and ids[i - 1] in special]
        parts = zip([0, *cuts], [*cuts, len(ids)], strict=True)
        return "".join(self.tokenizer.decode(ids[a:b], skip_special_tokens=False) for a, b in parts)
