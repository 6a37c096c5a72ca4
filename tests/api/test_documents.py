"""The code of vLLM's two "Generative Models" pages runs after `vllm` → `nbllm`, on a local model.

The model's name, the template's path and, for the first page, the imports are supplied; nothing else
is changed.
"""

import textwrap

import pytest

FIRST = {
    "generate": """
        llm = LLM(model="facebook/opt-125m")
        outputs = llm.generate("Hello, my name is")

        for output in outputs:
            prompt = output.prompt
            generated_text = output.outputs[0].text
            print(f"Prompt: {prompt!r}, Generated text: {generated_text!r}")
    """,
    "sampling parameters": """
        llm = LLM(model="facebook/opt-125m")
        params = SamplingParams(temperature=0)
        outputs = llm.generate("Hello, my name is", params)

        for output in outputs:
            prompt = output.prompt
            generated_text = output.outputs[0].text
            print(f"Prompt: {prompt!r}, Generated text: {generated_text!r}")
    """,
    "beam search": """
        llm = LLM(model="facebook/opt-125m")
        params = BeamSearchParams(beam_width=5, max_tokens=50)
        outputs = llm.generate("Hello, my name is", params)

        for output in outputs:
            prompt = output.prompt
            generated_text = output.outputs[0].text
            print(f"Prompt: {prompt!r}, Generated text: {generated_text!r}")
    """,
    "chat": """
        llm = LLM(model="meta-llama/Meta-Llama-3-8B-Instruct")
        conversation = [
            {
                "role": "system",
                "content": "You are a helpful assistant"
            },
            {
                "role": "user",
                "content": "Hello"
            },
            {
                "role": "assistant",
                "content": "Hello! How can I assist you today?"
            },
            {
                "role": "user",
                "content": "Write an essay about the importance of higher education.",
            },
        ]
        outputs = llm.chat(conversation)

        for output in outputs:
            prompt = output.prompt
            generated_text = output.outputs[0].text
            print(f"Prompt: {prompt!r}, Generated text: {generated_text!r}")
    """,
    "chat template": """
        from vllm.entrypoints.chat_utils import load_chat_template

        # You can find a list of existing chat templates under `examples/`
        custom_template = load_chat_template(chat_template="<path_to_template>")
        print("Loaded chat template:", custom_template)

        outputs = llm.chat(conversation, chat_template=custom_template)
    """,
}
SECOND = {
    "generate": """
        from vllm import LLM

        llm = LLM(model="facebook/opt-125m")
        outputs = llm.generate("Hello, my name is")

        for output in outputs:
            prompt = output.prompt
            generated_text = output.outputs[0].text
            print(f"Prompt: {prompt!r}, Generated text: {generated_text!r}")
    """,
    "sampling parameters": """
        from vllm import LLM, SamplingParams

        llm = LLM(model="facebook/opt-125m")
        params = SamplingParams(temperature=0)
        outputs = llm.generate("Hello, my name is", params)

        for output in outputs:
            prompt = output.prompt
            generated_text = output.outputs[0].text
            print(f"Prompt: {prompt!r}, Generated text: {generated_text!r}")
    """,
    "beam search": """
        from vllm import LLM
        from vllm.sampling_params import BeamSearchParams

        llm = LLM(model="facebook/opt-125m")
        params = BeamSearchParams(beam_width=5, max_tokens=50)
        outputs = llm.beam_search([{"prompt": "Hello, my name is "}], params)

        for output in outputs:
            generated_text = output.sequences[0].text
            print(f"Generated text: {generated_text!r}")
    """,
    "chat": """
        from vllm import LLM

        llm = LLM(model="meta-llama/Meta-Llama-3-8B-Instruct")
        conversation = [
            {
                "role": "system",
                "content": "You are a helpful assistant"
            },
            {
                "role": "user",
                "content": "Hello"
            },
            {
                "role": "assistant",
                "content": "Hello! How can I assist you today?"
            },
            {
                "role": "user",
                "content": "Write an essay about the importance of higher education.",
            },
        ]
        outputs = llm.chat(conversation)

        for output in outputs:
            prompt = output.prompt
            generated_text = output.outputs[0].text
            print(f"Prompt: {prompt!r}, Generated text: {generated_text!r}")
    """,
    "chat template": """
        from vllm.entrypoints.chat_utils import load_chat_template

        # You can find a list of existing chat templates under `examples/`
        custom_template = load_chat_template(chat_template="")
        print("Loaded chat template:", custom_template)

        outputs = llm.chat(conversation, chat_template=custom_template)
    """,
}
IMPORTS = "from vllm import LLM, BeamSearchParams, SamplingParams\n"
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "template.jinja"
    path.write_text(TEMPLATE)

    def run(source: str, names: dict) -> dict:
        code = textwrap.dedent(source).replace("vllm", "nbllm")
        for model in ("facebook/opt-125m", "meta-llama/Meta-Llama-3-8B-Instruct"):
            code = code.replace(model, "tiny")
        for template in ('"<path_to_template>"', 'chat_template=""'):
            code = code.replace(template, template.split('"')[0] + repr(str(path)))
        exec(compile(code, "<document>", "exec"), names)
        return names

    return run


@pytest.mark.parametrize("block", ["generate", "sampling parameters", "beam search", "chat"])
@pytest.mark.parametrize("page", ["first", "second"])
def test_block(run, capsys, page, block):
    source = IMPORTS + textwrap.dedent(FIRST[block]) if page == "first" else SECOND[block]
    names = run(source, {})
    printed = capsys.readouterr().out
    assert printed.count("enerated text: '") == 1
    assert len(names["generated_text"]) > 3
    names["llm"].close()


@pytest.mark.parametrize("page", [FIRST, SECOND], ids=["first", "second"])
def test_the_template_goes_on_from_the_chat(run, capsys, page):
    imports = IMPORTS if page is FIRST else ""
    names = run(imports + textwrap.dedent(page["chat"]), {})
    run(page["chat template"], names)
    assert "Loaded chat template: {% for m in messages %}" in capsys.readouterr().out
    [output] = names["outputs"]
    assert output.prompt.startswith("system: You are a helpful assistant\nuser: Hello\n")
    assert output.outputs[0].text
    names["llm"].close()


def test_the_habits_of_its_users():
    """What its users write beside the documents."""
    import pandas as pd

    from nbllm import LLM, to_frame

    llm = LLM(
        "tiny",
        task="generate",
        generation_config="vllm",
        tensor_parallel_size=1,
        tokenizer_mode="auto",
        enable_chunked_prefill=True,
        disable_log_stats=True,
        gpu_memory_utilization=0.5,
    )
    sp = llm.get_default_sampling_params()
    sp.max_tokens = 5
    assert llm.get_default_sampling_params().max_tokens == 16
    series = pd.Series(["a", "b"], index=[5, 9])
    outputs = llm.generate(series, sp, use_tqdm=False)
    assert to_frame(outputs)["prompt"].tolist() == ["a", "b"]
    assert (to_frame(outputs)["num_tokens"] <= 5).all()
    llm.close()
