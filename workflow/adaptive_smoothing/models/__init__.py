"""Room `models`: one network a file, with `class Options(Strict)` and `build(options, channels, size, classes)`.

It imports `core`, and of `data` the types and the downloads.
"""
