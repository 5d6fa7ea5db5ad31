"""A real SLURM on this machine, and a Snakemake that uses it, for tests and benchmarks."""
