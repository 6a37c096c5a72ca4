"""Each mistake gets one clear line, and nothing is lost."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from nbllm import LLM, SamplingParams, resident
from nbllm.errors import (
    ClosedError,
    ModelError,
    NbllmError,
    NoModelError,
    OutOfMemoryError,
    ParamError,
    PromptError,
)


@pytest.fixture
def folder(llama, tmp_path):
    """A copy of the tiny model that a test may break."""
    copy = tmp_path / "model"
    shutil.copytree(llama[0], copy)
    return copy


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(error: type, *words: str, **options):
    with pytest.raises(error) as caught:
        LLM(**options)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
    assert caught.value._render_traceback_() == [f"{error.__name__}: {message}"]


def test_unknown_models(monkeypatch, tmp_path):
    refused(ModelError, "tinny", "did you mean 'tiny'", model="tinny")
    refused(ModelError, "./nowhere", "folder", model="./nowhere")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(ModelError, "'no/such' is not in the local cache", model="no/such")
    refused(ModelError, "config.json", model=tmp_path)


def test_broken_folders(folder):
    edit(folder / "config.json", architectures=["MambaForCausalLM"])
    refused(ModelError, "MambaForCausalLM", "LlamaForCausalLM", model=folder)
    edit(folder / "config.json", architectures=["LlamaForCausalLM"], hidden_size=50)
    refused(ModelError, "shape", "config.json says", model=folder)
    (folder / "config.json").write_text("{")
    refused(ModelError, "not valid JSON", model=folder)


def test_broken_weights(folder):
    weights = load_file(folder / "model.safetensors")
    some = "model.layers.1.self_attn.k_proj.weight"
    save_file({k: v for k, v in weights.items() if k != some}, folder / "model.safetensors")
    refused(ModelError, "lacks", some, model=folder)
    save_file({**weights, "model.extra": torch.zeros(1)}, folder / "model.safetensors")
    refused(ModelError, "unexpected model.extra", model=folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused(ModelError, "truncated", f"{len(whole) // 2:,} bytes", model=folder)
    (folder / "model.safetensors").rename(folder / "model.bin")
    refused(ModelError, "no *.safetensors", "pickle", "save_pretrained", model=folder)
    (folder / "model.bin").unlink()
    refused(ModelError, "no *.safetensors", model=folder)


def test_broken_tokenizers(folder):
    (folder / "tokenizer.json").write_text("{}")
    refused(ModelError, "tokenizer.json", model=folder)
    (folder / "tokenizer.json").unlink()
    refused(ModelError, "tokenizer", model=folder)
    refused(ModelError, "tokenizer must be", "int", model=folder, tokenizer=3)


def test_sharded_and_tied_checkpoints_load(llama, tmp_path, reference):
    from tiny_models import write_model

    llama[1].save_pretrained(tmp_path / "sharded", max_shard_size="100KB")
    shutil.copy(llama[0] / "tokenizer.json", tmp_path / "sharded")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    greedy = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)
    with LLM(tmp_path / "sharded") as llm:
        out = llm.generate([1, 2, 3], greedy, use_tqdm=False)
        assert out[0].outputs[0].token_ids == reference([1, 2, 3], 8)
    tied = write_model(
        "llama", tmp_path / "tied", tie_word_embeddings=True, attention_bias=True, mlp_bias=True
    )
    with LLM(tmp_path / "tied") as llm:
        out = llm.generate([1, 2, 3], greedy, use_tqdm=False)[0].outputs[0].token_ids
    ids = torch.tensor([[1, 2, 3]])
    want = tied.generate(ids, max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert out == want[0, 3:].tolist()
    (tmp_path / "sharded" / "model-00001-of-00002.safetensors").unlink(missing_ok=True)
    first = min((tmp_path / "sharded").glob("*.safetensors"))
    first.unlink()
    refused(ModelError, "which its index names", model=tmp_path / "sharded")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"max_model_length": 5}, ParamError, ["max_model_length", "did you mean 'max_model_len'"]),
        ({"tensor_parallel_size": 2}, ParamError, ["tensor_parallel_size only as 1", "got 2"]),
        ({"enable_lora": True}, ParamError, ["enable_lora"]),
        ({"max_model_len": 1000}, ParamError, ["1000", "256"]),
        ({"max_model_len": 0}, ParamError, ["max_model_len must be a positive integer"]),
        ({"max_num_seqs": "many"}, ParamError, ["max_num_seqs"]),
        ({"gpu_memory_utilization": 1.5}, ParamError, ["(0, 1]"]),
        (
            {"kv_cache_memory_bytes": 10, "max_model_len": 99},
            OutOfMemoryError,
            ["kv_cache_memory_bytes="],
        ),
        ({"dtype": "int8"}, ParamError, ["bfloat16"]),
        ({"device": "tpu"}, ParamError, ["device"]),
        ({"load_format": "pickle"}, ParamError, ["load_format"]),
        ({"task": "embed"}, ParamError, ["task"]),
        ({"generation_config": "nowhere"}, ModelError, ["generation_config"]),
        (
            {"hf_overrides": {"rope_scaling": {"rope_type": "spiral"}, "rope_parameters": None}},
            ModelError,
            ["spiral"],
        ),
    ],
    ids=lambda x: str(x)[:40],
)
def test_options(llama, options, error, words):
    refused(error, *words, model=llama[0], **options)


def test_neutral_options_are_accepted(llama):
    neutral = {"tensor_parallel_size": 1, "tokenizer_mode": "auto", "lora_request": None}
    with LLM(llama[0], **neutral, enable_chunked_prefill=True, disable_log_stats=True) as llm:
        assert llm.generate("a", SamplingParams(max_tokens=1), use_tqdm=False)[0].finished


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ([[]], "empty"),
        ([300], "token id 300 is outside the vocabulary of 261"),
        ([-1], "token id -1"),
        ("x" * 300, "301 tokens.*256"),
        ({"text": "a"}, "'prompt' or 'prompt_token_ids'"),
        ({"prompt_token_ids": [1], "num_begun": 2}, "num_begun is a number .* got 2"),
        ({"prompt": "a", "num_begun": 1}, "num_begun is a number .* got 1"),
        ({"prompt_token_ids": [1], "num_begun": "x"}, "num_begun is a number .* got 'x'"),
        (3, "must be a string"),
        ([1, "a"], "must be a string, token ids"),
        ([[1.5]], "integers"),
    ],
)
def test_prompts(llm, prompt, words):
    with pytest.raises(PromptError, match=words):
        llm.generate(prompt, SamplingParams(max_tokens=1))
    assert llm.engine.num_unfinished == 0


def test_one_bad_prompt_of_many_stops_all_before_they_run(llm):
    with pytest.raises(PromptError):
        llm.generate(["good", {"prompt_token_ids": []}], SamplingParams(max_tokens=1))
    assert llm.engine.num_unfinished == 0


def test_parameters(llm):
    with pytest.raises(ParamError, match="got 1 sampling parameters for 2 prompts"):
        llm.generate(["a", "b"], [SamplingParams()])
    with pytest.raises(ParamError, match="must be SamplingParams, got dict"):
        llm.generate(["a"], [{"n": 1}])
    with pytest.raises(ParamError, match="max_logprobs=20"):
        llm.generate("a", SamplingParams(logprobs=21))
    with pytest.raises(ParamError, match="outside the vocabulary"):
        llm.generate("a", SamplingParams(stop_token_ids=[999]))
    with pytest.raises(ParamError, match="got 1 priorities for 2"):
        llm.generate(["a", "b"], SamplingParams(), priority=[1])


def test_closed(llama):
    llm = LLM(llama[0])
    llm.close()
    with pytest.raises(ClosedError, match="load it again"):
        llm.generate("a")
    assert "closed" in repr(llm)


def test_resident_models(llama):
    with pytest.raises(NoModelError, match="%nbllm load"):
        resident.current()
    try:
        first = resident.load(str(llama[0]))
        assert resident.current() is first
        with pytest.raises(ModelError):
            resident.load("nowhere at all")
        assert resident.current() is first  # a failed load loses nothing
        second = resident.load(str(llama[0]), name="b")
        assert resident.current() is second
        assert resident.current(first.name) is first
        with pytest.raises(NoModelError, match="did you mean 'b'"):
            resident.current("bb")
        resident.unload("b")
        assert resident.current() is first
        third = resident.load(str(llama[0]))
        assert resident.loaded() == {first.name: third}
        with pytest.raises(ClosedError):
            first.generate("a")
        own = LLM(llama[0])
        assert resident.load(own) is own
        with pytest.raises(ModelError, match="already built"):
            resident.load(own, seed=3)
    finally:
        resident.unload()
    assert resident.loaded() == {}
    assert issubclass(NoModelError, NbllmError)
