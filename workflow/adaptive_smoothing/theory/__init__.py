"""Room `theory`: Eq. 6–25 in numbers. Label noise exact and linearised, and GLMs trained step by step.

Every function names its equation. The room imports `core`, `data`, `models`, `methods`, and how `training` evaluates.
The GLMs are float64 NumPy and small enough to read beside the paper; docs/theory.md does so.
"""
