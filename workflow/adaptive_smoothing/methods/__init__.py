"""Room `methods`: one way of training a file. A method knows tensors and nothing else; it imports `core` alone.

A file declares `class Hyperparameters(…)`, which planning reads without importing the file, and one subclass of
`base.Method`.
"""
