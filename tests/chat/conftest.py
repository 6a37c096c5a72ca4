"""Templates in the styles that models publish, and one tokenizer for us and for transformers."""

from pathlib import Path

import pytest

TEMPLATES = {
    path.stem: path.read_text() for path in sorted((Path(__file__).parent / "templates").iterdir())
}
SPECIALS = ["<s>", "</s>", "<pad>"]


@pytest.fixture(scope="session")
def hf():
    """A transformers tokenizer with a BOS, an EOS and a padding token, and no template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.add_special_tokens([AddedToken(t, special=True) for t in SPECIALS])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    bos, eos, pad = SPECIALS
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, eos_token=eos, pad_token=pad
    )


@pytest.fixture(scope="session")
def tokenizer(hf):
    """The same as nbllm's."""
    from nbllm.engine.text import Tokenizer

    return Tokenizer.from_object(hf)


@pytest.fixture(params=TEMPLATES)
def template(request):
    """Each published style in turn."""
    return TEMPLATES[request.param]


@pytest.fixture(scope="session")
def templates():
    """All of them by name."""
    return TEMPLATES
