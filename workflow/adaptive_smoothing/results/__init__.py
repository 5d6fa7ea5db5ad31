"""Room `results`: Parquet in; tables, verdicts and text out. pandas, no torch, no matplotlib.

It imports `core`, `data` and `theory`.
"""
