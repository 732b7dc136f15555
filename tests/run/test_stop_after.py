"""A run that only dev is asked of ends there, and validation stays closed."""

import pytest

from pgolf.config.compose import compose, settings
from pgolf.config.naming import run_name
from pgolf.run import stages
from pgolf.track.result import read_result
from tests.run.test_record import WORDS, cache, raising  # noqa: F401 - a fixture
from train import train


@pytest.mark.parametrize(("where", "scored"), [("prequant", ["prequant"]), ("dev", ["dev", "prequant", "roundtrip"])])
def test_a_run_ends_with_the_score_asked_for_and_opens_no_validation(cache, tmp_path, monkeypatch, where, scored):  # noqa: F811
    monkeypatch.setattr(stages, "score_final", raising(AssertionError("validation was opened")))
    if where == "prequant":
        monkeypatch.setattr(stages, "rehearse", raising(AssertionError("rehearsed what is not asked for")))
    words = [*WORDS, f"run_root={tmp_path}", f"cache_dir={cache}"]
    cfg = settings(compose([*words, f"stop_after={where}"]))
    objective, status = train(cfg, [])
    (folder,) = tmp_path.glob("*/seed=*")
    result = read_result(folder)
    assert (status, result["status"]) == (0, "finished") and f"stop_after={where}" in result["reason"]
    assert sorted(name for name, score in result["scores"].items() if score) == scored
    assert objective == result["scores"][scored[0]]["val_bpb"]
    assert (folder / "weights.pt").is_file() and (folder / "artifact.pgolf").is_file() == (where == "dev")
    whole = settings(compose(words))
    assert folder.parent.name == run_name(whole, whole["choices"])
