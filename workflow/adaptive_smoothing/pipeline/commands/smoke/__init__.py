"""`smoothing smoke`: the paper's nine figures, a few steps a run, on tiny archives in the true formats."""
