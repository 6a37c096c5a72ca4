"""What a run was asked and what came of it, whoever ran it: a magic or a widget.

work.py          prompts under settings, and the parameters of each request
provenance.py    model, parameters, seed, versions: what it takes to make a result again
generation.py    the result: `.df`, `.text`, `.outputs`, a view, a recording to replay
search.py        the same of a beam search
conversation.py  a conversation as a value; conversations.py: all of them by name, with their branches
turn.py          one turn of it; trim.py: what to leave out where all does not fit
"""
