"""Kinds of corruption: each file is one, with `class Options(Strict)` and `matrix(options, classes)`.

`matrix` returns the transition matrix T, K × K: T[i, j] is the probability that label i becomes j.
"""
