"""The library of the pipeline: from a scale's YAML to Figures 2–10 of the paper, in nine rooms.

The paper is "Variational Learning Induces Adaptive Label Smoothing" (arXiv 2502.07273). Each room's docstring states
its rule, and docs/architecture.md shows them side by side. Planning never needs torch, pandas or pyarrow.
"""
