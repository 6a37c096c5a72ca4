"""Results to draw: made by nbllm's own views where that is possible, by hand where it is not."""

import json
import math

from beam_outputs import Words, searched

from nbllm import views
from nbllm.outputs import (
    ChoiceOutput,
    CompletionOutput,
    Logprob,
    RequestMetrics,
    RequestOutput,
    ScoreOutput,
)
from nbllm.results.conversation import Conversation, Message
from nbllm.sampling_params import BeamSearchParams

HOSTILE = (
    "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>\x1b[31m \u202eevil\x9b"
)
HOSTILE_LINK = HOSTILE + "[a](javascript:window.hacked=1)"
LONG = "\n".join(f"{i}. A rule that the model has to follow." for i in range(1, 31)) + "\n\nAnswer:"
CODE = ["def", " f", "(x", "):", "\n", "    ", "return", " x", "\t", "# ", "done", "\n", ""]

# per token: its text, its probability, and the alternatives that were likelier or next
STORY = [
    ("The", 0.62, [("Once", 0.21), ("In", 0.09)]),
    (" ship", 0.31, [(" old", 0.28), (" sea", 0.12)]),
    (" sailed", 0.55, [(" was", 0.2), (" left", 0.11)]),
    (" north", 0.04, [(" into", 0.41), (" away", 0.3)]),
    (" under", 0.09, [(",", 0.5), (" for", 0.22)]),
    (" a", 0.88, [(" the", 0.11), (" an", 0.004)]),
    (" cardboard", 0.0003, [(" clear", 0.2), (" grey", 0.17)]),
    (" sky", 0.93, [(" moon", 0.05), (" sun", 0.01)]),
    (".", 0.97, [(" and", 0.02), (",", 0.01)]),
    ("\n", 0.5, [(" The", 0.3), ("\n\n", 0.1)]),
]


def logprobs(tokens) -> list[dict[int, Logprob]]:
    """As an engine returns them: a dictionary a token, the sampled one first."""
    positions = []
    for text, p, others in tokens:
        rank = 1 + sum(q > p for _, q in others)
        rest = [(other, q, i + 1 + (i + 1 >= rank)) for i, (other, q) in enumerate(others)]
        entries = [(text, p, rank), *rest]
        positions.append(
            {
                i: Logprob(logprob=math.log(q), rank=r, decoded_token=t)
                for i, (t, q, r) in enumerate(entries)
            }
        )
    return positions


def completion(index: int, text: str, tokens=None) -> CompletionOutput:
    return CompletionOutput(
        index=index,
        text=text,
        token_ids=list(range(len(tokens or text.split()))),
        cumulative_logprob=sum(math.log(p) for _, p, _ in tokens) if tokens else -4.2,
        logprobs=logprobs(tokens) if tokens else None,
        finish_reason="length" if tokens else "stop",
    )


def request(prompt: str, *completions: CompletionOutput) -> RequestOutput:
    metrics = RequestMetrics(
        arrival_time=0, first_token_time=None, finished_time=None, tokens_per_second=None
    )
    return RequestOutput(
        request_id="0", prompt=prompt, prompt_token_ids=[0], outputs=list(completions),
        finished=True, metrics=metrics,
    )  # fmt: skip


def bundle(*requests: RequestOutput, kind: str = "completions") -> dict:
    return views.bundle(views.completions(requests, kind=kind))


PAIR = [
    completion(0, "Paris."),
    completion(1, "It is Paris, on the Seine, and has been for most of a thousand years."),
]


def story() -> dict:
    return bundle(request("Write.", completion(0, "".join(t for t, _, _ in STORY), STORY)))


def several() -> dict:
    return bundle(request("The capital of France?", *PAIR), request(LONG, completion(0, "Yes.")))


def hostile() -> dict:
    tokens = [(HOSTILE, 0.5, [(HOSTILE, 0.4)])]
    return bundle(
        request(HOSTILE, completion(0, HOSTILE, tokens)), request(HOSTILE, completion(0, HOSTILE))
    )


def chat() -> dict:
    return bundle(request("<user>Hello", completion(0, "שלום, good morning. 👩‍🚀")), kind="chat")


def code() -> dict:
    tokens = [(text, 0.9, [("x", 0.1)]) for text in CODE]
    return bundle(request("Write f.", completion(0, "".join(CODE), tokens)))


def beam() -> dict:
    """A search among the words of the story, and a hostile one."""
    words = Words("p", *(text for text, _, _ in STORY), HOSTILE)
    count = len(words.words)

    def choices(ids):
        return {2 + (len(ids) * 3 + k) % (count - 2): p for k, p in enumerate((0.5, 0.3, 0.2))}

    params = BeamSearchParams(beam_width=3, max_tokens=6)
    return views.bundle(views.beams([searched(words, choices, params, prompt=HOSTILE)]))


def grid() -> dict:
    """One prompt under two settings."""
    outputs = [request("The capital of France?", one) for one in PAIR]
    names = ["temperature=0", "temperature=0.7"]
    return views.bundle(views.completions(outputs, settings=names))


def choices() -> dict:
    """Probabilities of choices, one of them hostile."""
    output = ChoiceOutput(
        prompt="p", choices=[HOSTILE, " good"], probabilities=[0.25, 0.75], logprobs=[-2.1, -1.0],
        num_tokens=[9, 1],
    )  # fmt: skip
    return views.bundle(views.labels([output], kind="choose", prompts=["The soup is"]))


def scores() -> dict:
    """Log-probabilities of three texts, one of them hostile, one impossible."""
    texts = {"likely": [-0.5, -0.5], HOSTILE: [-9.0] * 3, "impossible": [-math.inf]}
    outputs = [
        ScoreOutput(prompt="p", continuation=text, token_ids=[1] * len(own), logprobs=own)
        for text, own in texts.items()
    ]
    return views.bundle(views.labels(outputs, kind="score", prompts=["The soup is"] * 3))


def comparison() -> dict:
    """One prompt under two settings, side by side; one has two completions."""
    outputs = [request("p", PAIR[0]), request("p", *PAIR)]
    settings = ["greedy", HOSTILE]
    data = views.comparison({"tiny": outputs}, ["The capital of France?"], settings)
    data["rows"][0]["cells"][0][0]["remark"] = f"★★★ {HOSTILE}"
    return views.bundle({**data, "caption": f"greedy: 1 win\n{HOSTILE}"})


def conversation() -> dict:
    """Two questions and their answers, one with its tokens."""
    first = completion(0, "".join(t for t, _, _ in STORY), STORY)
    turns = [
        Message(role="system", content="Be brief."),
        Message(role="user", content=HOSTILE),
        Message(role="assistant", content=first.text, completion=first),
        Message(role="user", content="שלום"),
        Message(role="assistant", content=HOSTILE, completion=completion(0, HOSTILE)),
    ]
    return Conversation(tuple(turns))._repr_mimebundle_()


def damaged_search() -> dict:
    """A search whose second candidate comes before the one that it continues."""
    data = json.loads(json.dumps(beam()[views.MIME]))
    data["searches"][0]["nodes"]["parent"][1] = 5
    return data


def foreign(data: object) -> dict:
    """What an nbllm of another time may have saved."""
    html = "<b onclick=window.hacked=1>html</b><script>window.hacked=1</script>"
    return {"text/plain": "the plain text", "text/html": html, views.MIME: data}
