"""Every number that a verdict depends on, with its source: P, the paper; D, follows from the paper; A, assumed here."""

CONFIDENCE = 0.95  # A: of every interval
# The paper's own numbers, in points of test accuracy; shown next to ours at the paper's scale only.
C8_ABOVE = {"ls": 9.1, "sam": 13.3}  # P, Sec. 4.3.1: pair flip 20 %, CIFAR-100
C10_VARIES = 10.0  # P, App. B.1: IVON "can only vary by up to 10%"
# What the paper says in words.
SENSITIVE = 10.0  # D: points over the grid of ρ; above what App. B.1 calls "only" for IVON, which it sets against SAM
ABOUT_CHANCE = 5.0  # A: points above a guess; the published baselines end 0 and 1.5 above, IVON 20.5 (Fig. 7)
COMPARABLE = 1.0  # A: points, either way (Sec. 4.3.3 says "comparable")
C10_FEWEST = 3  # A: values of h₀ that "bigger than" a value must leave; of one alone anything is true
RESEMBLES = 0.5  # A: rank correlation off the diagonal (Sec. 4.2 says "surprisingly similar")
SAME_SIGMA = 5.0  # A: percent by which the posterior's s.d. must differ for two Σ to count as different
DISTINCT = 2.0  # A: 95th over 5th percentile of the examples' noise; label smoothing's is 1
C2_ZERO = 1e-9  # D: |ε| at mean 0, which is 0 by symmetry, up to rounding
C2_NEAR = 3.0  # A: "slightly away": |mean of f| of the maximum, where σ has not gone beyond 5 or 95 %
C2_FADED = 0.05  # A: |ε| at the farthest mean, as a share of the maximum
