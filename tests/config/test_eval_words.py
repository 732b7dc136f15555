"""The words of eval.py: the artifact's own numbers stay, and everything wrong is said at once."""

import pytest

from pgolf.config.eval_words import overrides_of, read_words
from pgolf.core.errors import ConfigError
from tests.proof.making import eval_node

HEADER = {
    "eval": eval_node(window=32, stride=8, chunk_tokens=128, batch_windows=4),
    "ttt": {"_target_": "pgolf.ttt.none.NoAdaptation"},
    "ngram": {"_target_": "pgolf.ngram.none.NoNGram"},
    "mixer": {"_target_": "pgolf.mixer.none.Single"},
}


def overrides(tmp_path, *words):
    return overrides_of(read_words([f"artifact={tmp_path / 'a.pgolf'}", *words]), HEADER)


def problems(tmp_path, *words):
    with pytest.raises(ConfigError) as caught:
        overrides(tmp_path, *words)
    return caught.value.problems


def test_words_about_the_text_override_nothing(tmp_path):
    assert overrides(tmp_path, "data=tiny", "budget=smoke", "size=record") == {}


def test_a_group_chosen_whole_keeps_the_artifacts_lengths(tmp_path):
    node = overrides(tmp_path, "eval=non_overlapping")["eval"]
    assert node["_target_"] == "pgolf.eval.non_overlapping.NonOverlapping"
    assert (node["window"], node["chunk_tokens"], node["batch_windows"]) == (32, 128, 4)
    assert "stride" not in node and node["official_truncation"] is False


def test_the_same_method_chosen_again_overrides_nothing(tmp_path):
    assert overrides(tmp_path, "eval=sliding") == {}


def test_the_command_line_goes_before_the_artifact(tmp_path):
    assert overrides(tmp_path, "eval.stride=16") == {"eval": HEADER["eval"] | {"stride": 16}}
    node = overrides(tmp_path, "eval=non_overlapping", "eval.window=64")["eval"]
    assert (node["window"], node["chunk_tokens"]) == (64, 128)


def test_everything_wrong_is_said_at_once(tmp_path):
    words = [
        "eval.stride=abc",
        "eval.window=0",
        "data=tiny",
        "data.document_count=x",
        "budget.eval_seconds=-1",
    ]
    found = problems(tmp_path, *words, "budget.subset_tokens=1", f"out={tmp_path}/none/c.json")
    assert {problem.partition(":")[0] for problem in found} == {
        "eval.stride",
        "eval.window",
        "data.document_count",
        "budget.eval_seconds",
        "budget.subset_tokens",
        "out",
    }


def test_a_stride_of_zero_is_out_of_range(tmp_path):
    assert problems(tmp_path, "eval.stride=0") == ("eval.stride: 0 is out of range: at least 1",)


def test_a_key_that_the_artifact_lacks_or_that_is_taken_away_is_an_error(tmp_path):
    (unknown,) = problems(tmp_path, "+eval.speed=2")
    assert "the artifact's eval takes window, stride" in unknown
    (gone,) = problems(tmp_path, "~eval.stride")
    assert gone == "eval.stride: can be changed, not taken away"


def test_the_certificate_goes_beside_the_artifact_or_where_out_says(tmp_path):
    assert read_words(["artifact=runs/x/a.pgolf"]).out.as_posix() == "runs/x/certificate.eval.json"
    assert problems(tmp_path, f"out={tmp_path}") == (f"out: {tmp_path} is a folder; name a file in it",)
