"""Room `pipeline`: the only one that knows scales, Snakemake and terminals.

It may import every room; none imports it.
"""
