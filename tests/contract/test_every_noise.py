"""What every registered noise must do, with every alternative of its options."""

import generated
import numpy as np
import pytest

from adaptive_smoothing.core import registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import corruption

CLASSES = (2, 3, 10)
NUMBERS = (0.1, 0.01)  # of options; a noise may be impossible with many classes


@pytest.mark.parametrize("name", registry.names("noise"))
def test_its_matrix_holds_probabilities(name):
    tried = set()
    for number in NUMBERS:
        for options in generated.options("noise", name, number):
            for classes in CLASSES:
                try:
                    matrix = corruption.transition_matrix({"kind": name, **options}, classes)
                except UserError:
                    continue  # the noise says in one sentence that it is impossible
                tried.add(classes)
                assert matrix.shape == (classes, classes)
                np.testing.assert_allclose(matrix.sum(axis=1), 1)
                assert (matrix >= 0).all()
                np.testing.assert_array_equal(matrix, corruption.transition_matrix({"kind": name, **options}, classes))
    assert tried == set(CLASSES)
