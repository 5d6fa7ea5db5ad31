"""Datasets: each file makes the arrays of one dataset.

A file declares `class Options(Strict)`, `make(options, data_seed, source) -> Arrays` and, where it is fixed, the number
of classes (`CLASSES = 10`). Heavy imports stand inside `make`, because planning reads these files. A file whose images
stay on disk says `IMAGES = "files"`: its `make` returns their paths and how to decode them.
"""
