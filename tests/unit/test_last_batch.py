"""A last batch of one image: refused before the first step where batch normalisation cannot take it."""

import pytest
import torch
from cases import arguments, specification

from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.data import storage
from adaptive_smoothing.training import job
from adaptive_smoothing.training.last_batch import check_last_batch

SIZE = 177  # training images of the prepared digits


@pytest.mark.parametrize(
    ("model", "batch_size", "refused"),
    [
        ("resnet34", 176, True),
        ("resnet34", 88, True),
        ("resnet34", 1, True),
        ("resnet34", 177, False),
        ("resnet34", 50, False),
        ("small_cnn", 176, False),  # two by two pixels are left
        ("small_cnn", 1, False),
    ],
)
def test_it_is_refused_where_one_pixel_is_left(digits, model, batch_size, refused):
    spec = specification("sam", batch_size=batch_size, model={"name": model})
    prepared, state = storage.open_prepared(digits / "digits"), torch.get_rng_state()
    if refused:
        with pytest.raises(
            UserError, match=rf"batch_size {batch_size} is not allowed; 177 training images leave a last"
        ):
            check_last_batch(spec, prepared, SIZE)
    else:
        check_last_batch(spec, prepared, SIZE)
    assert torch.equal(torch.get_rng_state(), state)


def test_statistics_that_are_estimated_anew_count_too(digits):
    prepared = storage.open_prepared(digits / "digits")
    spec = specification("ivon", model={"name": "resnet34"}, hyperparameters={"batch_norm": "mean"})
    with pytest.raises(UserError, match="2001 training images leave a last batch of one image"):
        check_last_batch(spec, prepared, 2001)
    check_last_batch(spec, prepared, 2002)


def test_a_job_says_it_before_the_first_step(digits, tmp_path):
    spec = specification("ls", batch_size=176, model={"name": "resnet34"})
    with pytest.raises(UserError, match="resnet34 cannot take at 8 × 8 pixels; choose another batch_size"):
        job.train(**arguments(digits, tmp_path, spec))
