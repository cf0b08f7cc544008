import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from models.architectures.options import NetworkOptions


@pytest.mark.parametrize(
    ("said", "own"),
    [
        ({}, ("plain", "transposed", 0.0)),
        ({"padding": "valid"}, ("plain", "transposed", 0.5)),
        ({"name": "fcn8s"}, ("vgg16", "transposed", 0.5)),
        ({"name": "segnet", "upsampling": None}, ("vgg16", "max_unpool", 0.0)),
    ],
)
def test_what_is_not_said_is_the_networks_own(
    said: dict[str, Any], own: tuple[str, str, float]
) -> None:
    options = NetworkOptions.model_validate(said)
    assert (options.encoder, options.upsampling, options.dropout) == own


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"name": "fcn8s", "upsampling": "max_unpool"}, "it takes transposed, nearest, bilinear"),
        ({"name": "encoder_decoder", "upsampling": "max_unpool"}, "no use for the upsampling"),
        ({"name": "segnet", "encoder": "plain"}, "it takes vgg16 alone"),
        (
            {"name": "unet", "encoder": "mobilenet_v2", "upsampling": "max_unpool"},
            "mobilenet_v2 does not pool",
        ),
        ({"name": "unet", "encoder": "vgg16", "padding": "valid"}, "with the plain encoder alone"),
        ({"name": "unet", "weights": "vgg16.h5"}, "the plain encoder has no trained weights"),
        ({"name": "fcn8s", "feature_norm": True}, "feature_norm is not for the encoder vgg16"),
        ({"feature_norm": True}, "feature_norm is not for the encoder plain"),
        ({"name": "segment"}, "there is no network 'segment'; there are fcn32s, fcn16s"),
        ({"name": ["unet"]}, "Input should be a valid string"),
    ],
)
def test_choices_that_do_not_go_together_get_a_sentence(
    choice: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence):
        NetworkOptions.model_validate(choice)


def test_options_are_read_without_keras() -> None:
    check = "import sys, models.architectures.options; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
