"""Library behind the pipeline: from a scale's YAML to Figures 2–10 of the paper.

The paper is "Variational Learning Induces Adaptive Label Smoothing" (arXiv 2502.07273).

Importing this package imports nothing heavy; planning (config, plan, paths, fingerprint) never needs torch,
pandas or pyarrow.
"""
