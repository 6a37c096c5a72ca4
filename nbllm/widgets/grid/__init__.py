"""The half of `PromptGrid` that knows nothing of a page.

columns.py  settings and models as columns     cells.py    rows × columns, and what is known of each
rows.py     prompts as rows                    stream.py   cells through the engine
order.py    which rows are shown, and how      choices.py  two columns judged without their names
judging.py  the pair that is judged now        frame.py    all of it as DataFrames
saved.py    all of it in a file, and back      files.py    which files are this grid's
making.py   its runs                           static.py   what is left of it
"""
