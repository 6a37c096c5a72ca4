"""`python -m nbllm.assets.recipe --out DIR`: write the corpus, train, export, evaluate, report."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .settings import FULL, SMALL, Settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from .card import Run
    from .corpus import Corpus

OVERRIDES = ("seed", "steps", "documents", "shards", "items_per_part", "rows_per_step")
TRAINING_SHARE = 0.86
"""Training ends at this part of the time, so that export and evaluation have the rest."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m nbllm.assets.recipe", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the model")
    parser.add_argument(
        "--work", type=Path, default=Path("/tmp/nbllm-recipe"), help="shards and checkpoint.pt"
    )
    parser.add_argument("--small", action="store_true", help="the setting for two CPU cores")
    parser.add_argument("--minutes", type=float, default=9.0, help="the whole run ends by then")
    parser.add_argument("--resume", type=Path, help="a checkpoint.pt to go on from")
    parser.add_argument(
        "--dense-attention", action="store_true", help="no FlexAttention, where there is CUDA"
    )
    parser.add_argument(
        "--evaluate", action="store_true", help="only evaluate --out again and rewrite its card"
    )
    for name in OVERRIDES:
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, help="instead of the setting's")
    return parser.parse_args()


def settings_of(args: argparse.Namespace) -> Settings:
    """The chosen size with what the command line changes."""
    given = {name: getattr(args, name) for name in OVERRIDES if getattr(args, name) is not None}
    return replace(SMALL if args.small else FULL, **given)


class Clock:
    """Says how long each phase took, as it ends."""

    def __init__(self) -> None:
        self.began = self.last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """The phase that began with the last lap is over."""
        now = time.monotonic()
        self.seconds[phase], self.last = now - self.last, now
        print(f"[{now - self.began:6.1f} s] {phase}: {self.seconds[phase]:.1f} s", flush=True)


def write_corpus(
    settings: Settings, args: argparse.Namespace, clock: Clock
) -> tuple[Tokenizer, Corpus]:
    """Train the tokenizer into `--out`, and build the corpus with it."""
    from . import corpus, tokenizer

    stream = corpus.texts(f"{settings.seed}/tokenizer", settings.tokenizer_documents)
    trained = tokenizer.train((corpus.plain(text) for _, text in stream), settings.vocab_size)
    if trained.get_vocab_size() != settings.vocab_size:
        sys.exit(f"the tokenizer has {trained.get_vocab_size()} entries, not {settings.vocab_size}")
    tokenizer.save(trained, args.out, settings.max_positions)
    clock.lap("tokenizer")
    built = corpus.build(settings, args.out / "tokenizer.json", args.work)
    clock.lap("corpus")
    print(f"{sum(built.tokens.values()):,} tokens in {len(built.rows):,} rows", flush=True)
    return trained, built


def train_model(
    settings: Settings, args: argparse.Namespace, clock: Clock, tokenizer: Tokenizer, corpus: Corpus
) -> Run:
    """Train, export to `--out`, and record the run."""
    # Only now, so that the processes of the corpus start without torch and CUDA.
    import tokenizers
    import torch
    import transformers

    from . import card, model, train
    from .documents import BOS, END, PAD
    from .tokenizer import id_of

    device = device_name()
    torch.manual_seed(settings.seed)
    torch.set_float32_matmul_precision("high")
    # cuDNN's attention compiles anew for each mask shape and gains nothing at this head size.
    torch.backends.cuda.enable_cudnn_sdp(False)
    bos, eos, pad = (id_of(tokenizer, token) for token in (BOS, END, PAD))
    llama = model.Llama(settings).to(device)
    print(f"{model.num_parameters(llama):,} parameters on {device}", flush=True)
    history = train.train(
        llama,
        corpus.rows,
        settings,
        bos=bos,
        deadline=clock.began + args.minutes * 60 * TRAINING_SHARE,
        work=args.work,
        resume=args.resume,
        flex=device == "cuda" and not args.dense_attention,
    )
    model.export(llama, settings, args.out, bos=bos, eos=eos, pad=pad)
    clock.lap("training")
    return card.Run(
        command="python -m nbllm.assets.recipe " + " ".join(sys.argv[1:]),
        device=torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} CPU",
        versions={
            "Python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
        settings=settings,
        parameters=model.num_parameters(llama),
        rows=len(corpus.rows),
        num_bytes=corpus.num_bytes,
        dropped=corpus.dropped,
        tokens=corpus.tokens,
        documents=corpus.documents,
        steps=history.steps,
        tokens_per_second=history.tokens_per_second,
        train=history.train,
        validation=history.validation,
        seconds=clock.seconds,
    )


def evaluate_model(folder: Path, items_per_part: int, clock: Clock, run: Run) -> None:
    """Evaluate the folder, rewrite its card with the results, and print them."""
    from . import card, evaluate
    from .engine import TransformersEngine

    device = device_name()
    engine = TransformersEngine(folder, device, batch_size=256 if device == "cuda" else 32)
    run.results = evaluate.evaluate(engine, evaluate.heldout_items(items_per_part))
    clock.lap("evaluation")
    run.seconds |= clock.seconds
    card.write(run, folder)
    print(evaluate.as_text(run.results), flush=True)


def device_name() -> str:
    """`cuda` where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    """The whole recipe."""
    args, clock = arguments(), Clock()
    settings = settings_of(args)
    args.out.mkdir(parents=True, exist_ok=True)
    args.work.mkdir(parents=True, exist_ok=True)
    # The package's own modules import torch: not before the processes of the corpus are done.
    if args.evaluate:
        from .card import read

        run = read(args.out)
    else:
        run = train_model(settings, args, clock, *write_corpus(settings, args, clock))
        from .card import write

        # Evaluation may fail; the model and the record of its training are safe before it begins.
        write(run, args.out)
    evaluate_model(args.out, settings.items_per_part, clock, run)


if __name__ == "__main__":
    main()
