"""eval.py's road in this process: what it hands to the sealed process, counts, prints and writes."""

import dataclasses
import json

import numpy as np
import pytest

from pgolf.build import prepare_dataset
from pgolf.config.eval_words import read_words
from pgolf.core.errors import RunError
from pgolf.data.shards import whole, write_shard
from pgolf.run import rescore as road
from pgolf.run import stages
from tests.proof.making import write_artifact

TOKENS = 300


@pytest.fixture
def words(tmp_path):
    artifact = write_artifact(tmp_path / "a.pgolf")
    budget = [f"budget.subset_tokens={TOKENS}", "budget.eval_seconds=50"]
    text = ["data=tiny", "data.document_count=10", f"cache_dir={tmp_path / 'cache'}", "device=cpu"]
    return read_words([f"artifact={artifact}", *text, *budget])


def test_a_finished_score_is_printed_even_where_it_cannot_be_written(words, monkeypatch, capsys):
    limits = []
    real = stages.score_sealed

    def score_sealed(*positional, limit_seconds, **named):
        limits.append(limit_seconds)
        return real(*positional, limit_seconds=limit_seconds, **named)

    def full_disk(path, text):
        raise RunError(f"cannot write {path}")

    monkeypatch.setattr(stages, "score_sealed", score_sealed)
    monkeypatch.setattr(road, "write_text_atomic", full_disk)
    with pytest.raises(RunError, match="cannot write"):
        road.evaluate(words)
    out = capsys.readouterr().out
    assert "bits per byte" in out and "coverage and bytes" in out
    assert limits == [4 * 50]


def test_sidecars_of_the_data_count_the_bytes(words, monkeypatch, tmp_path):
    def with_sidecars(*arguments):
        dataset = prepare_dataset(*arguments)
        path = tmp_path / "bytes.bin"
        write_shard(path, np.full(dataset.facts["val"].tokens, 3))
        return dataclasses.replace(dataset, sidecars={"val": whole([path])})

    monkeypatch.setattr(stages, "prepare_dataset", with_sidecars)
    status = road.evaluate(words)
    record = json.loads(words.out.read_text())
    assert record["score"]["bytes"] == 3 * (TOKENS - 1)
    assert status == 4  # these sidecars are no text's bytes, and the coverage probe says so
    (coverage,) = [probe for probe in record["certificate"]["probes"] if probe["letter"] == "d"]
    assert not coverage["passed"] and coverage["measured"]["bytes_from"] == "sidecar"


def test_a_score_that_came_too_late_ends_with_3(words, monkeypatch, capsys):
    monkeypatch.setattr(stages, "PATIENCE", 1e6)
    words.settings["budget"]["eval_seconds"] = 0.001
    assert road.evaluate(words) == 3
    assert not json.loads(words.out.read_text())["score"]["valid"]
    assert "of 0.001 allowed" in capsys.readouterr().out
