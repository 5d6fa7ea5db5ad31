"""Room `training`: the one loop and its state. It writes metrics and posterior, and nothing else.

It imports `core`, `data`, `models` and `methods`.
"""
