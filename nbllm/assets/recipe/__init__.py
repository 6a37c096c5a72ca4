"""The recipe of the bundled model: corpus, tokenizer, training, evaluation and card.

Run from the repository root: `python -m nbllm.assets.recipe --out DIR` (an H200, under eight
minutes) or `--small` (two CPU cores). Nothing is downloaded: every training text is written by the
programs in this package, and nothing here imports the rest of nbllm.
"""
