import shlex

import pytest

from gwres.errors import InputError
from gwres.training.recipe import Recipe


def test_vary_reads_text_as_the_settings_type():
    recipe = Recipe().vary(
        {"depth": "50", "fit.learning_rate": "1e-4", "strict": "false", "loud": 2}
    )
    assert recipe.model.depth == 50
    assert recipe.fit.learning_rate == 1e-4
    assert recipe.data.strict is False
    assert recipe.live.loud == 2.0
    assert recipe.name == "resnet50-templates"


def test_flat_and_vary_are_inverse():
    recipe = Recipe().vary({"depth": 101, "frontend": "spectrogram", "seed": 7})
    assert Recipe().vary(recipe.flat()) == recipe


@pytest.mark.parametrize(
    ("settings", "loud"),
    [
        ({}, 1.0),
        ({"frontend": "waveform"}, 1.0),
        ({"frontend": "spectrogram"}, 3.0),
        ({"frontend": "waveform", "source": "/somewhere"}, 1.0),
        ({"loud": 2.0}, 2.0),
        ({"frontend": "waveform", "init": "pretrained"}, 1.0),
        ({"init": "pretrained", "loud": 2.0}, 2.0),
    ],
)
def test_loudness_suits_the_front_end(settings, loud):
    sized = Recipe().vary(settings).sized()
    assert sized.live.loud == loud
    assert sized.sized() == sized


@pytest.mark.parametrize(
    ("settings", "teacher"),
    [
        ({}, "labels"),
        ({"frontend": "waveform"}, "evidence"),
        ({"frontend": "spectrogram"}, "evidence"),
        ({"frontend": "waveform", "init": "pretrained"}, "evidence"),
        ({"frontend": "waveform", "noise": "detector"}, "labels"),
        ({"frontend": "waveform", "teacher": "labels"}, "labels"),
        ({"frontend": "waveform", "source": "/somewhere"}, "labels"),
        (
            {"frontend": "waveform", "source": "/a", "teacher": "evidence"},
            "evidence",
        ),
        ({"frontend": "waveform", "permute": True}, "labels"),
    ],
)
def test_the_teacher_suits_front_end_and_data(settings, teacher):
    assert Recipe().vary(settings).sized().fit.teacher == teacher


def test_the_rate_suits_the_first_weights():
    rates = {
        init: Recipe().vary({"init": init}).sized().fit.learning_rate
        for init in ("", "pretrained")
    }
    assert rates == {"": 4e-3, "pretrained": pytest.approx(4e-4)}
    given = Recipe().vary({"init": "pretrained", "learning_rate": 0.01})
    assert given.sized().fit.learning_rate == 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": "35"}, "16, 18, 34, 50, 101, 152; received 35"),
        ({"depth": "abc"}, "depth must be a whole number; received abc"),
        ({"depth": "34.0"}, "depth must be a whole number; received 34.0"),
        ({"samples": "1.5e0"}, "samples must be a whole number; received 1.5e0"),
        ({"samples": "1e99"}, "samples must be from 0 to"),
        ({"frontend": "wavelet"}, "templates, waveform, spectrogram; received wavelet"),
        ({"learning_rate": "nan"}, "learning_rate must be from"),
        ({"learning_rate": "-1"}, "learning_rate must be from"),
        ({"samples": "-5"}, "samples must be from 0"),
        (
            {"population": "bns"},
            "population must be one of g2net, volumetric, field; received bns",
        ),
        ({"precision": "float16"}, "precision must be one of"),
        ({"teacher": "nobody"}, "teacher must be one of auto, labels, evidence"),
        ({"teacher": "evidence"}, "teacher must be labels with frontend=templates"),
        (
            {"frontend": "waveform", "teacher": "evidence", "permute": "true"},
            "teacher must be labels where these are permuted",
        ),
        (
            {"frontend": "waveform", "teacher": "evidence", "noise": "detector"},
            "teacher must be labels with noise=detector",
        ),
        ({"noise": "pink"}, "noise must be one of gaussian, detector; received pink"),
        ({"glitches": "1.5"}, "glitches must be from"),
        ({"strict": "maybe"}, "strict must be true or false; received maybe"),
        ({"colour": "red"}, "settings are .*; received colour"),
        ({"fit.depth": "34"}, "received fit.depth"),
        ({"norm": "layer"}, "norm must be one of"),
        ({"bank": "0"}, "bank must be from 1"),
        ({"width": "-1"}, "width must be"),
        ({"dropout": "1"}, "dropout must be"),
        ({"batch": "1"}, "batch must be"),
        ({"batch": "15"}, "batch must be even, .* received 15"),
        ({"drop": "2"}, "drop must be"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        Recipe().vary(settings)


@pytest.mark.parametrize("text", ["100000", "1e5", "1E+05", "1.0e5"])
def test_a_whole_number_may_be_written_with_an_exponent(text):
    assert Recipe().vary({"samples": text}).fit.samples == 100_000


def test_no_two_parts_share_a_setting():
    names = [key.rpartition(".")[2] for key in Recipe().flat()]
    assert len(names) == len(set(names))


def test_command_gives_the_same_recipe_again():
    changes = {"depth": 18, "learning_rate": 0.1 + 0.2, "source": "/a b/c", "seed": 3}
    recipe = Recipe().vary(changes)
    head, *words = shlex.split(recipe.command)[4:]
    assert (head, words[::2]) == ("train", ["-P"] * 5)
    given = dict(word.split("=", 1) for word in words[1::2])
    assert set(given) == {"data", "depth", "frontend", "learning_rate", "seed"}
    given["source"] = given.pop("data")
    assert Recipe().vary(given) == recipe
    assert "learning_rate" not in Recipe().command


@pytest.mark.parametrize(
    ("text", "value"), [("1e5", 100_000), ("2.5E+3", 2500), ("120000", 120_000)]
)
def test_a_whole_number_may_have_an_exponent(text, value):
    assert Recipe().vary({"samples": text}).fit.samples == value
