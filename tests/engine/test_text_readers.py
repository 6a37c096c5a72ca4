"""A growing text with several readers."""

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models

from nbllm import LLM
from nbllm.engine.text import Tokenizer, TokenText


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    with LLM() as llm:
        return llm.tokenizer


def test_a_reader_that_is_behind(tokenizer):
    """What it gets is the text of its own tokens, whatever another has read meanwhile."""
    ids = tokenizer.encode("Once upon a time: ж, 日本 and a fox.", add_special_tokens=False)
    alone = []
    for end in range(len(ids) + 1):
        alone.append(TokenText(tokenizer).sofar(ids[:end]))
    shared = TokenText(tokenizer)
    for end in range(len(ids) + 1):
        assert shared.sofar(ids[:end]) == alone[end]
        for behind in range(0, end, 3):
            assert shared.sofar(ids[:behind]) == alone[behind]
    assert shared.sofar(ids) == tokenizer.decode(ids)


def test_bytes_of_tokens(tokenizer):
    """Together they are the bytes of the text, also where none of them is a character."""
    for text in ("Once upon a time", "жöß", "日本", "🦊 and\nmore\t"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode()


def test_bytes_of_a_vocabulary_with_byte_tokens():
    vocab = {"<0xC3>": 0, "<0xB6>": 1, "a": 2}
    backend = Backend(models.BPE(vocab=vocab, merges=[], byte_fallback=True))
    backend.decoder = decoders.ByteFallback()
    tokenizer = Tokenizer(backend, {})
    assert [tokenizer.token_bytes(i) for i in range(3)] == [b"\xc3", b"\xb6", b"a"]
