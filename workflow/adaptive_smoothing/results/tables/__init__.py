"""Tables behind figures: each file makes one kind, with `make(inputs) -> (table, additions to its description)`.

A figure's file names its kind (`TABLE = "metrics"`). Each file owns the schema of what it writes.
"""
