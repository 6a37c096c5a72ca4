"""The half of `PromptGrid` that knows nothing of a page.

columns.py  settings and models as columns          cells.py    rows × columns, and what is known of each
stream.py   cells through the engine                order.py    which rows are shown, in what order
choices.py  two columns judged without their names  frame.py    all of it as DataFrames
                                                    saved.py    all of it in a file, and back
"""
