"""How unclear an example is, judged without any network: by the labels of the images nearest to it."""

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10


def disagreement(images: NDArray[np.uint8], labels: NDArray[np.int64], count: int = NEIGHBOURS) -> NDArray[np.float64]:
    """Return for each of N images the share of its `count` nearest others (Euclidean in pixels) with another label.

    Args: images N × C × H × W, labels N. Of fewer than `count` others all count; a single image has none (NaN). The
    time grows with N².
    """
    from sklearn.neighbors import NearestNeighbors

    count = min(count, len(images) - 1)
    if count < 1:
        return np.full(len(images), np.nan)
    pixels = images.reshape(len(images), -1).astype(np.float32)
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(pixels)
    nearest = search.kneighbors(return_distance=False)  # without an argument: an image is not its own neighbour
    shares: NDArray[np.float64] = (labels[nearest] != labels[:, None]).mean(axis=1)
    return shares
