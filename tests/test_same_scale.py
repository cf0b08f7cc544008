"""`segtrain evaluate` scores what is served: the same size, and the same way back to a picture's
own."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.contract import FrameScale
from models.contract.working_size import ScaleRequest
from models.training.evaluation import Predictor
from models.training.scaled import resized, scale_in_words, with_scale
from service.domain.source import Window
from service.domain.upsampling import Grid, upsampled_class_map
from service.inference.prepare import plan_array_size, seen_at
from service.runtimes.engine import logits_of
from tests.solvable import contract_of_depth

FRAME = FrameScale(long_side=40)
DRAW = np.random.default_rng(5)


def probabilities(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Three classes by the channels, each pixel for itself."""
    scores = np.exp(images.astype(np.float32) / 40)
    shares: NDArray[np.float32] = scores / scores.sum(axis=-1, keepdims=True)
    return shares


PREDICTOR = Predictor(
    lambda images: probabilities(images).argmax(-1).astype(np.uint8), probabilities
)


@pytest.mark.parametrize("request_", ["auto", "native", "0.5", "2", "longest=31"])
@pytest.mark.parametrize("size", [(60, 80), (61, 83), (333, 97), (45, 33)])
def test_scores_are_of_the_class_maps_that_are_served(size: tuple[int, int], request_: str) -> None:
    drawn = DRAW.integers(0, 256, (*size, 3)).astype(np.uint8)
    image = drawn.repeat(3, axis=0).repeat(3, axis=1)[: size[0], : size[1]]
    request = ScaleRequest.parse(request_)
    model = contract_of_depth(3, None).model_copy(update={"scale": FRAME})
    working = plan_array_size(image, model, request)
    seen = seen_at(image, working)
    served = probabilities(seen[np.newaxis]).argmax(-1)[0]
    if working is not None:
        np.testing.assert_array_equal(resized(image, working.height, working.width), seen)
        logits = logits_of(probabilities(seen[np.newaxis]))[0]
        served = upsampled_class_map(logits, Grid(working.factors), Window(0, 0, *size))
    scored = with_scale(PREDICTOR, FRAME, request).class_maps(image[np.newaxis])[0]
    assert scored.shape == size
    assert (scored == served).mean() > 0.9995


def test_a_score_says_at_which_scale() -> None:
    assert scale_in_words(FRAME, ScaleRequest()) == "auto (longest=40)"
    assert scale_in_words(None, ScaleRequest()) == "auto (native)"
    assert scale_in_words(FRAME, ScaleRequest.parse("native")) == "native"
    assert scale_in_words(FRAME, ScaleRequest.parse("0.5")) == "0.5"
    assert scale_in_words(FRAME, ScaleRequest.parse("longest=31")) == "longest=31"
