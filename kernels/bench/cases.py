"""What is timed: for each operation some shapes of real models, with a check of each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from nbllm_kernels.beam_steps import BeamShape, beam_inputs, beam_select, beam_select_ref
from nbllm_kernels.decode_attention import (
    decode_attention,
    decode_attention_ref,
    work_for_decode,
)
from nbllm_kernels.experts import experts, experts_ref
from nbllm_kernels.gated_linear import gated_linear, gated_linear_ref
from nbllm_kernels.likeliest import likeliest, likeliest_ref
from nbllm_kernels.prefill_attention import (
    prefill_attention,
    prefill_attention_ref,
    work_for_prefill,
)
from nbllm_kernels.process_logits import Penalties, process_logits, process_logits_ref
from nbllm_kernels.qkv_rope import Projection, qkv_rope, qkv_rope_ref
from nbllm_kernels.rms_norm import add_rms_norm, add_rms_norm_ref
from nbllm_kernels.rope import rope_table
from nbllm_kernels.route import route
from nbllm_kernels.row_steps import RowState, advance, advance_ref, step_inputs, step_inputs_ref
from nbllm_kernels.sample import sample, sample_ref
from nbllm_kernels.silu_mul import silu_mul, silu_mul_ref
from nbllm_kernels.skinny_linear import Norm, choose, skinny_linear, skinny_linear_ref, takes_norm
from nbllm_kernels.top_logprobs import top_logprobs, top_logprobs_ref
from nbllm_kernels.tree_attention import (
    Tree,
    arrivals_for,
    begins_at_projection,
    tree_attention,
    tree_attention_of,
    tree_attention_ref,
)

BF16 = torch.bfloat16
L2 = 120 << 20
"""Bytes that a case rotates over: twice an H200's L2 cache."""


@dataclass
class Case:
    name: str
    calls: list[Callable]
    work: float  # bytes or floating-point operations of one call
    right: Callable[[], bool]
    unit: str = "TB/s"
    dtype: str = "bfloat16"


def randn(*shape, dtype=BF16) -> Tensor:
    return torch.randn(*shape, device="cuda", dtype=dtype)


def close(got: Tensor, want: Tensor) -> bool:
    """To the rounding of bfloat16, by the norm of the difference; NaN is not."""
    error = (got.float() - want.float()).norm() / want.float().norm()
    return bool(error < 6e-3)


def copies(size: float) -> range:
    return range(int(min(24, max(1, L2 // size + 1))))


def norms() -> Iterator[Case]:
    for size in (1024, 4096):
        for tokens in (1, 131, 8192):
            work = tokens * size * 2 * 4
            inputs = [(randn(tokens, size), randn(tokens, size)) for _ in copies(work)]
            weight = randn(size)
            calls = [partial(add_rms_norm, x, r, weight, 1e-6) for x, r in inputs]

            def right(x=inputs[0], weight=weight, call=calls[0]):
                return close(call()[0], add_rms_norm_ref(*x, weight, 1e-6)[0])

            yield Case(f"add, {tokens} x {size}", calls, work, right)


def gates() -> Iterator[Case]:
    for size in (3072, 14336):
        for tokens in (1, 131, 8192):
            work = tokens * size * 2 * 3
            inputs = [randn(tokens, 2 * size) for _ in copies(work)]
            calls = [partial(silu_mul, x) for x in inputs]

            def right(x=inputs[0]):
                return close(silu_mul(x), silu_mul_ref(x.float()))

            yield Case(f"{tokens} x {size}", calls, work, right)


PRODUCTS = {  # rows of W, its columns, norm, gate, sum
    "opt-125m": [
        ("qkv", 2304, 768, True, False, False),
        ("out", 768, 768, False, False, True),
        ("fc1", 3072, 768, True, False, False),
        ("fc2", 768, 3072, False, False, True),
        ("head", 50272, 768, False, False, False),
    ],
    "Qwen3-0.6B": [
        ("qkv", 4096, 1024, True, False, False),
        ("o", 1024, 2048, False, False, True),
        ("gate and up", 6144, 1024, True, True, False),
        ("down", 1024, 3072, False, False, True),
        ("head", 151936, 1024, False, False, False),
    ],
    "Llama-3-8B": [
        ("qkv", 6144, 4096, True, False, False),
        ("o", 4096, 4096, False, False, True),
        ("gate and up", 28672, 4096, True, True, False),
        ("down", 4096, 14336, False, False, True),
        ("head", 128256, 4096, False, False, False),
    ],
}


def products() -> Iterator[Case]:
    for model, shapes in PRODUCTS.items():
        for name, size_out, size, norm, gate, add in shapes:
            for rows in (1, 8, 32, 128):
                x, work = randn(rows, size), size_out * size * 2
                weights = [randn(size_out, size) * size**-0.5 for _ in copies(work)]
                if (tile := choose(x, weights[0], gate)) is None:
                    continue
                opt, parts = model.startswith("opt"), getattr(tile, "splits", 1) > 1
                of = Norm(randn(size), randn(size) if opt else None, 1e-5, center=opt)
                bias = randn(size_out) if opt and name != "head" else None
                options = {
                    "bias": bias,
                    "norm": of if norm and takes_norm(x, tile) else None,
                    "act": "silu" if gate else "relu" if name == "fc1" else None,
                    "gate": gate,
                    "add": randn(rows, size_out) if add and not parts else None,
                }
                calls = [partial(skinny_linear, x, w, tile=tile, **options) for w in weights]

                def right(call=calls[0], x=x, w=weights[0], options=options, parts=parts):
                    got = call().sum(0) if parts else call()
                    return close(got, skinny_linear_ref(x, w, **options))

                norm_or_sum = " with norm" if options["norm"] else " with sum" if add else ""
                yield Case(f"{model}, {name}{norm_or_sum}, {rows} rows", calls, work, right)


def gated_products() -> Iterator[Case]:
    for model, shapes in PRODUCTS.items():
        for _name, size_out, size, _norm, gate, _add in shapes:
            for tokens in (2048, 7900, 16384) if gate else ():
                x, weight = randn(tokens, size), randn(size_out, size) * size**-0.5

                def right(x=x, weight=weight):
                    wide = gated_linear_ref(x.float(), weight.float(), None, "silu")
                    return close(gated_linear(x, weight, None, "silu"), wide)

                call = partial(gated_linear, x, weight, None, "silu")
                flops = 2 * tokens * size_out * size
                yield Case(f"{model}, {tokens} tokens", [call], flops, right, "TFLOP/s")


def qkv() -> Iterator[Case]:
    for name, heads, kv_heads, norm in (("Qwen3-0.6B", 16, 8, True), ("Llama-3-8B", 32, 8, False)):
        for tokens in (1, 131, 8192):
            width = (heads + 2 * kv_heads) * 128
            work = tokens * width * 2 * 2
            kv = torch.zeros(tokens // 64 + 2, 4, 2, kv_heads, 64, 128, device="cuda", dtype=BF16)
            positions, slots = torch.arange(tokens, device="cuda"), torch.arange(tokens) + 64
            weights = (randn(128), randn(128)) if norm else (None, None)
            args = (positions, slots.cuda(), rope_table(128, 8192, 1e6, "cuda"), kv)
            inputs = [randn(tokens, width) for _ in copies(work)]
            calls = [
                partial(qkv_rope, x, *args, i % 4, heads, *weights) for i, x in enumerate(inputs)
            ]

            def right(call=calls[0], x=inputs[0], args=args, heads=heads, weights=weights):
                got, cache = call(), args[-1][:, 0].clone()
                want = qkv_rope_ref(x, *args, 0, heads, *weights)
                return close(got, want) and close(cache, args[-1][:, 0])

            yield Case(f"{name}, {tokens} tokens", calls, work, right)


MODELS = {"Qwen3-0.6B": (16, 8, 128), "Llama-3-8B": (32, 8, 128), "opt-125m": (12, 12, 64)}


def cache(lengths: list[int], kv_heads: int, dim: int, layers: int) -> tuple[Tensor, Tensor]:
    """A filled cache with scattered pages, and the page tables."""
    counts = [-(-n // 64) for n in lengths]
    order = iter((torch.randperm(sum(counts)) + 1).tolist())
    pages = torch.zeros(len(lengths), max(counts), dtype=torch.int32)
    for row, count in enumerate(counts):
        pages[row, :count] = torch.tensor([next(order) for _ in range(count)])
    return randn(sum(counts) + 1, layers, 2, kv_heads, 64, dim), pages.cuda()


def decoding() -> Iterator[Case]:
    shapes = [
        ("Qwen3-0.6B", [256]),
        ("Qwen3-0.6B", [900]),
        ("Qwen3-0.6B", [32768]),
        ("Qwen3-0.6B", [900] * 131),
        ("Qwen3-0.6B", [100 + 13 * i for i in range(131)]),
        ("Llama-3-8B", [128]),
        ("Llama-3-8B", [900] * 131),
        ("Llama-3-8B", [900] * 256),
        ("Llama-3-8B", [8192] * 16),
        ("opt-125m", [900] * 131),
    ]
    for model, lengths in shapes:
        heads, kv_heads, dim = MODELS[model]
        work = sum(lengths) * kv_heads * dim * 2 * 2
        layers = len(copies(work))
        kv, pages = cache(lengths, kv_heads, dim, layers)
        lens = torch.tensor(lengths, device="cuda")
        q, items = randn(len(lengths), heads, dim), work_for_decode(lens, kv)
        calls = [
            partial(decode_attention, q, kv, i, pages, lens, dim**-0.5, work=items, early=True)
            for i in range(layers)
        ]

        def right(call=calls[0], q=q, kv=kv, pages=pages, lens=lens):
            return close(call(), decode_attention_ref(q, kv, 0, pages, lens, q.shape[-1] ** -0.5))

        spread = f"{min(lengths)}" if len({*lengths}) == 1 else f"{min(lengths)}-{max(lengths)}"
        yield Case(f"{model}, {len(lengths)} rows of {spread}", calls, work, right)


def prefilling() -> Iterator[Case]:
    shapes = [
        ("Llama-3-8B", [8192], [8192]),
        ("Llama-3-8B", [7900], [7900]),
        ("Qwen3-0.6B", [7900], [7900]),
        ("Llama-3-8B", [1024], [1024]),
        ("Llama-3-8B", [2048], [8192]),
        ("Llama-3-8B", [128], [128]),
        ("Qwen3-0.6B", [562] * 28, [562] * 28),
        ("opt-125m", [562] * 28, [562] * 28),
    ]
    for model, new, lengths in shapes:
        heads, kv_heads, dim = MODELS[model]
        kv, pages = cache(lengths, kv_heads, dim, 1)
        lens = torch.tensor(lengths, device="cuda")
        starts = torch.tensor([0, *new], device="cuda").cumsum(0)
        q = randn(sum(new), heads, dim)
        items = work_for_prefill(starts, sum(new), kv)
        args = (q, kv, 0, pages, starts, lens, dim**-0.5)
        pairs = sum(n * (m - n) + n * (n + 1) / 2 for n, m in zip(new, lengths, strict=True))

        def right(args=args, items=items):
            return close(prefill_attention(*args, work=items), prefill_attention_ref(*args))

        name = f"{model}, {len(new)} x {new[0]} new of {lengths[0]}"
        call = partial(prefill_attention, *args, work=items)
        yield Case(name, [call], 4 * heads * dim * pairs, right, "TFLOP/s")


def mixing() -> Iterator[Case]:
    """The experts of one layer of Qwen3-30B-A3B: 8 of 128, 2048 wide, of 768."""
    count, k, size, inner = 128, 8, 2048, 768
    gate_up, down = randn(count, 2 * inner, size), randn(count, size, inner)
    for tokens in (1, 2, 8, 32, 256, 4096):
        inputs = [
            (randn(tokens, size), *route(randn(tokens, count), k, True))
            for _ in range(8 if tokens < 32 else 2)
        ]
        calls = [partial(experts, *x, gate_up, down) for x in inputs]
        read = sum(len(ids.unique()) for _, ids, _ in inputs) / len(inputs)

        def right(x=inputs[0], call=calls[0]):
            wide = (x[0].float(), *x[1:], gate_up.float(), down.float())
            return close(call(), experts_ref(*wide))

        name, flops = f"Qwen3-30B-A3B, {tokens} tokens", 6 * tokens * k * size * inner
        if tokens > 256:
            yield Case(name, calls, flops, right, "TFLOP/s")
        else:
            yield Case(name, calls, read * 3 * size * inner * 2, right)


def zipf(rows: int, vocabulary: int) -> Tensor:
    """Logits as models have them: probability falls as rank**-1.3, ids in any order."""
    ranks = torch.arange(1, vocabulary + 1, device="cuda").log() * -1.3
    order = torch.stack([torch.randperm(vocabulary, device="cuda") for _ in range(rows)])
    return (ranks[order] + 15).to(BF16)


SAMPLING = {
    "greedy": (0.0, 0, 1.0, 0.0),
    "temperature": (1.0, 0, 1.0, 0.0),
    "top-k 20, top-p 0.95": (0.6, 20, 0.95, 0.0),
    "top-p 0.9": (1.0, 0, 0.9, 0.0),
    "top-p 0.99": (1.0, 0, 0.99, 0.0),
}


def sampling() -> Iterator[Case]:
    for rows in (1, 131, 256):
        logits = zipf(rows, 151936)
        index = torch.arange(rows, device="cuda")
        for name, (t, k, p, m) in SAMPLING.items():
            floats = [torch.full((rows,), x, device="cuda") for x in (t, p, m)]
            args = (logits, index, floats[0], torch.full_like(index, k), *floats[1:])
            args = (*args, index * 7919 + 1, index + 100)

            def right(args=args):
                # a sum rounded differently may move a cut by a token
                same = sample(*args)[0] == sample_ref(*args)[0]
                return bool(same.float().mean() > 0.98)

            call = partial(sample, *args, filters=(k, p, m) != (0, 1.0, 0.0))
            yield Case(f"{name}, {rows} x 151936", [call], logits.nbytes, right)


def tops() -> Iterator[Case]:
    for rows in (1, 131):
        logits, tokens = zipf(rows, 151936), torch.arange(rows, device="cuda")

        def right(logits=logits, tokens=tokens):
            got, want = top_logprobs(logits, 20, tokens), top_logprobs_ref(logits, 20, tokens)
            return torch.equal(got[1], want[1]) and torch.equal(got[2], want[2])

        call = partial(top_logprobs, logits, 20, tokens)
        yield Case(f"20 of {rows} x 151936", [call], logits.nbytes, right)


def processing() -> Iterator[Case]:
    for rows in (1, 131):
        logits, index = zipf(rows, 151936), torch.arange(rows, device="cuda")
        ones = torch.ones(rows, device="cuda")
        counts = torch.randint(0, 3, logits.shape, device="cuda", dtype=torch.int32)
        penalties = Penalties(counts=counts, repetition=1.1 * ones, presence=ones, frequency=ones)

        def right(args=(logits, index, penalties)):
            return close(process_logits(*args), process_logits_ref(*args))

        call = partial(process_logits, logits, index, penalties)
        yield Case(f"penalties, {rows} x 151936", [call], logits.numel() * 10, right)


def steps() -> Iterator[Case]:
    for count in (1, 256):
        rows = torch.arange(count, device="cuda", dtype=torch.int32)

        def zeros(*shape, dtype=torch.int64):
            return torch.zeros(*shape, device="cuda", dtype=dtype)

        state = RowState(
            last=zeros(count),
            length=zeros(count) + 9,
            limit=zeros(count) + (1 << 40),
            done=zeros(count, dtype=torch.int32),
            stop_ids=zeros(2, count) - 1,
            pages=zeros(count, 640, dtype=torch.int32) + 3,
            history=zeros(count, 40960, dtype=torch.int32),
        )

        def right(state=state, rows=rows, count=count):
            got, want = step_inputs(state, rows, 64), step_inputs_ref(state, rows, 64)
            tokens = torch.arange(count, device="cuda")
            same = torch.equal(advance(state, rows, tokens), advance_ref(state, rows, tokens))
            return same and torch.equal(got.slots, want.slots)

        yield Case(
            f"inputs, {count} rows", [partial(step_inputs, state, rows, 64)], count * 70, right
        )
        call = partial(advance, state, rows, state.last.clone())
        yield Case(f"advance, {count} rows", [call], count * 90, right)


def trees() -> Iterator[Case]:
    """Beams that forked at a third of their steps, after a prompt."""
    shapes = [
        ("opt-125m", 1, 5, 128, 32),
        ("opt-125m", 16, 8, 128, 32),
        ("Qwen3-0.6B", 1, 5, 128, 32),
        ("Qwen3-0.6B", 16, 8, 128, 32),
        ("Qwen3-0.6B", 16, 8, 2048, 128),
        ("Llama-3-8B", 1, 5, 128, 32),
        ("Llama-3-8B", 1, 5, 8192, 32),
        ("Llama-3-8B", 16, 8, 128, 32),
        ("Llama-3-8B", 4, 64, 128, 32),
    ]
    for model, groups, width, prompt, steps in shapes:
        heads, kv_heads, dim = MODELS[model]
        beam = torch.arange(width, device="cuda").expand(groups, width)
        table = beam[:, :, None].clone()
        for _ in range(steps - 1):
            fork = torch.rand(groups, width, device="cuda") < 0.3
            parent = torch.where(fork, torch.randint_like(beam, width), beam)
            history = table.gather(1, parent[:, :, None].expand_as(table))
            table = torch.cat((history, beam[:, :, None]), 2)
        count, token = groups * prompt, kv_heads * dim * 2 * 2
        layers = len(copies((count + groups * (steps + 2 * width)) * token))
        kv, pages = cache([prompt] * groups + [steps * width] * groups, kv_heads, dim, layers)
        lens = torch.full((groups,), prompt, device="cuda")
        tree = Tree.of_ancestors(pages[:groups], lens, pages[groups:], table, 64)
        work = (count + int(tree.counts.sum())) * token
        q, arrivals = randn(groups * width, heads, dim), arrivals_for(tree, kv, heads)
        calls = [
            partial(tree_attention, q, kv, i, tree, dim**-0.5, arrivals=arrivals)
            for i in range(layers)
        ]

        def right(call=calls[0], q=q, kv=kv, tree=tree):
            return close(call(), tree_attention_ref(q, kv, 0, tree, q.shape[-1] ** -0.5))

        name = f"{model}, {groups} x {width} beams, prompt {prompt}, step {steps}"
        yield Case(name, calls, work, right)
        if begins_at_projection(tree, heads, kv):
            yield _from_projection(name, tree, kv, heads, steps, work)


def _from_projection(
    name: str, tree: Tree, kv: Tensor, heads: int, steps: int, work: float
) -> Case:
    """The same with what comes between a projection and its attention, in one launch."""
    kv_heads, dim, width = kv.shape[3], kv.shape[5], tree.width
    newest = (steps - 1) * width + torch.arange(width, device="cuda")
    slots = (tree.own[:, newest // 64].long() * 64 + newest % 64).flatten()
    positions = (tree.prompt_lens.long() + steps - 1).repeat_interleave(width)
    of = Projection(positions, slots, rope_table(dim, 16384, 1e6, "cuda"))
    x, arrivals = randn(len(slots), (heads + 2 * kv_heads) * dim), arrivals_for(tree, kv, heads)
    calls = [
        partial(tree_attention_of, x, of, kv, i, tree, dim**-0.5, heads, arrivals=arrivals)
        for i in range(kv.shape[1])
    ]

    def right():
        q = qkv_rope_ref(x, *of[:3], kv, 0, heads, *of[3:])
        return close(calls[0](), tree_attention_ref(q, kv, 0, tree, dim**-0.5))

    return Case(f"{name}, from the projection on", calls, work, right)


def candidates() -> Iterator[Case]:
    for rows, vocabulary in ((5, 50272), (5, 151936), (128, 50272), (128, 151936)):
        logits, k = zipf(rows, vocabulary), 10 if rows == 5 else 16

        def right(logits=logits, k=k):
            return torch.equal(likeliest(logits, k)[1], likeliest_ref(logits, k)[1])

        call = partial(likeliest, logits, k)
        yield Case(f"{k} of {rows} x {vocabulary}", [call], logits.nbytes, right)


def beams() -> Iterator[Case]:
    for groups, width in ((1, 5), (16, 8), (4, 64)):
        shape = BeamShape(
            groups=groups,
            width=width,
            candidates=2 * width,
            steps=1024,
            prompt_pages=64,
            vocab=151936,
            records=32,
            page_size=64,
        )
        words = torch.zeros(shape.num_words, dtype=torch.int32, device="cuda")
        state = shape.state(words)
        state.limit.fill_(1 << 30)
        state.counts.fill_(width)
        state.seen_tokens[:, :width] = torch.arange(width, device="cuda")
        state.seen[:, :width] = 1 << torch.arange(width, device="cuda")
        values, tokens = randn(groups * width, 999, dtype=torch.float32).topk(2 * width)
        before = words.clone()

        def right(shape=shape, before=before, offered=(tokens, values)):
            mine, want = before.clone(), before.clone()
            beam_select(shape.state(mine), *offered)
            beam_select_ref(shape.state(want), *offered)
            return torch.equal(mine, want)

        work = groups * width * width * 2 * 20
        call = partial(beam_select, state, tokens, values)
        yield Case(f"select, {groups} x {width} beams", [call], work, right)
        call = partial(beam_inputs, state, 64)
        yield Case(f"inputs, {groups} x {width} beams", [call], groups * width * 40, right)


CASES = {
    "rms_norm": norms,
    "silu_mul": gates,
    "skinny_linear": products,
    "gated_linear": gated_products,
    "qkv_rope": qkv,
    "decode_attention": decoding,
    "prefill_attention": prefilling,
    "experts": mixing,
    "sample": sampling,
    "top_logprobs": tops,
    "process_logits": processing,
    "row_steps": steps,
    "tree_attention": trees,
    "likeliest": candidates,
    "beam_steps": beams,
}
