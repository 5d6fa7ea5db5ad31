"""Sec. 3 and App. A.1 in numbers: GLMs trained by GD, variational GD, Newton and VON, and the label noise they induce.

Everything is float64 NumPy and small enough to read beside the paper; docs/theory.md does so. The networks' own label
noise is measured elsewhere (label_noise.py).
"""
