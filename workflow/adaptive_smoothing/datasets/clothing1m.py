"""clothing1m: Xiao et al. (2015), 1 M web images of 14 kinds of clothing, labels taken from the surrounding text.

It is handed out on request only. Its images are decoded from disk while training, which the pipeline does not do yet;
the dataset is registered so that Fig. 9 at paper scale can be planned, and `make` says so instead of training on
something else.
"""

from pathlib import Path

from adaptive_smoothing.datasets import Arrays
from adaptive_smoothing.errors import UserError
from adaptive_smoothing.options import Strict

CLASSES = 14


class Options(Strict):
    """No options."""


def make(options: Options, data_seed: int, raw: Path) -> Arrays:
    """Raise UserError: training from image files is not supported yet."""
    raise UserError(
        "dataset clothing1m: training from Clothing1M's image files is not supported yet, so Fig. 9 at paper scale can "
        "be planned but not run; its small-scale stand-in is digits_weak (snakemake paper_figures/small/fig9.pdf)"
    )
