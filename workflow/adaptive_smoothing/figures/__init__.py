"""Room `figures`: one picture a file, drawn from one table; the only room with matplotlib.

A file declares `class Options(Strict)`, `TABLE`, `data(frame, description)` and `draw(data, description)`. The room
imports `core` and `results`.
"""
