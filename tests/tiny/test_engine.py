"""nbllm and transformers say the same with the shipped weights."""

import pytest
import torch

from nbllm import LLM, SamplingParams

PROMPTS = [
    "Once upon a time",
    "The capital of France is",
    "23 + 45 =",
    "Hello, my name is",
    "Review: The soup was cold. Sentiment:",
    "English: The cat sleeps.\nFrench:",
]


@pytest.fixture(scope="module")
def llm(folder):
    with LLM(folder, dtype="float32") as llm:
        yield llm


def test_greedy_text_equals_transformers(llm, folder):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = llm.get_tokenizer()
    params = SamplingParams(temperature=0, max_tokens=60)
    ours = llm.generate(PROMPTS, params, use_tqdm=False)
    for prompt, output in zip(PROMPTS, ours, strict=True):
        batch = tokenizer(prompt, return_tensors="pt")
        assert output.prompt_token_ids == batch.input_ids[0].tolist()
        ids = model.generate(
            batch.input_ids,
            attention_mask=batch.attention_mask,
            max_new_tokens=60,
            do_sample=False,
            pad_token_id=0,
        )[0, batch.input_ids.shape[1] :]
        made = output.outputs[0]
        assert made.token_ids == ids.tolist()
        assert made.text == tokenizer.decode(ids, skip_special_tokens=True)


def test_the_template_is_read_alike(llm):
    messages = [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": "What is the capital of Italy?"},
    ]
    [output] = llm.chat(messages, SamplingParams(temperature=0, max_tokens=8), use_tqdm=False)
    tokenizer = llm.get_tokenizer()
    want = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert output.prompt == want
    assert output.outputs[0].text.strip(" .") == "Rome"


def test_the_defaults_are_the_models(llm):
    params = llm.get_default_sampling_params()
    assert 0 < params.temperature <= 1
    assert params.max_tokens > 16
