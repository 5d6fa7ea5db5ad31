"""Fig. 5: test accuracy under three label noises on CIFAR-10: IVON against LS over α and SAM over ρ (Sec. 4.3.1).

Drawn from the metrics table, one row of panels a noise. LS is Eq. 1; IVON's noise is Eq. 20.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from adaptive_smoothing.core.options import Strict
from adaptive_smoothing.figures import _panels

TABLE = "metrics"


class Options(Strict):
    """None."""


def data(frame: pd.DataFrame, description: dict[str, Any]) -> pd.DataFrame:
    """Return means over seeds at the last epoch, a row a noise, method and value of its hyper-parameter.

    Columns (percent where an accuracy): see `_panels.grid_data`.
    """
    return _panels.grid_data(frame, description)


def draw(data: pd.DataFrame, description: dict[str, Any]) -> Figure:
    """Draw accuracy over each method's hyper-parameter, with IVON as a level line."""
    return _panels.grid_figure(data, description)
