"""eval.py's road in this process: what it hands to the sealed process, counts, prints and writes."""

import dataclasses
import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from pgolf.artifact import container
from pgolf.build import prepare_dataset
from pgolf.config.eval_words import read_words
from pgolf.core.errors import ConfigError, RunError
from pgolf.data.shards import whole, write_shard
from pgolf.eval.source import REBUILT, REBUILT_OTHERWISE, SCRIPT
from pgolf.run import mirror, stages
from pgolf.run import rescore as road
from pgolf.track.columns import columns_of
from pgolf.track.result import RunFacts, build_result, write_result
from tests.proof.making import write_artifact

TOKENS = 100


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


def words_for(words, *more):
    kept = [f"artifact={words.artifact}", f"cache_dir={words.settings['cache_dir']}", "data=tiny", "device=cpu"]
    return read_words([*kept, "data.document_count=10", f"budget.subset_tokens={TOKENS}", *more])


def test_settings_that_are_not_the_artifacts_own_are_in_no_bytes_and_make_no_valid_score(words, capsys):
    assert road.evaluate(words) == 0
    own = json.loads(words.out.read_text())
    assert own["settings"] == "the artifact's own" and own["score"]["valid"]
    assert own["certificate"]["code"] == REBUILT and own["certificate"]["isolation"] in capsys.readouterr().out
    assert road.evaluate(words_for(words, "eval=sliding", "eval.stride=32")) == 0
    other = json.loads(words.out.read_text())
    assert other["settings"] == "not the artifact's own settings" and not other["score"]["valid"]
    assert other["certificate"]["passed"] and other["certificate"]["code"] == REBUILT_OTHERWISE
    assert other["score"]["stride"] == 32 and other["code_sha256"] != own["code_sha256"]
    out = capsys.readouterr().out
    assert "not the artifact's own settings" in out and "not valid" in out
    assert "override eval: " in out and "stride" in out


@pytest.fixture
def folder(words):
    """A record folder: the artifact, its script, and the result that vouches for both."""
    loaded, place = container.read(words.artifact), words.artifact.parent
    (place / "train_gpt.py").write_bytes(b"# counted\n")
    counted = road.count(words.artifact, loaded, b"# counted\n", words.settings["budget"])
    run = RunFacts("counted", 1, 1, None, None, "", "python train.py")
    write_result(place, build_result(status="finished", reason="", run=run, budget={}, ledger={}, artifact=counted))
    return place


def label(words, overrides=None):
    return road.source_of(words.artifact, container.read(words.artifact), overrides or {}).label


def test_the_script_that_was_counted_scores_again(words, folder):
    source = road.source_of(words.artifact, container.read(words.artifact), {})
    assert (source.script, source.label) == (b"# counted\n", SCRIPT)


@pytest.mark.parametrize("what", ["train_gpt.py", "result.json"])
def test_without_a_script_that_its_result_vouches_for_one_is_made(words, folder, what):
    (folder / what).unlink()
    assert label(words) == REBUILT


def test_a_script_or_an_artifact_of_another_run_is_not_taken_for_its_own(words, folder):
    result = json.loads((folder / "result.json").read_text())
    for key in ("sha256", "code_sha256"):
        changed = {**result, "artifact": {**result["artifact"], key: "0" * 64}}
        (folder / "result.json").write_text(json.dumps(changed))
        assert label(words) == REBUILT
    for text in (json.dumps({**result, "artifact": None}), "no result"):
        (folder / "result.json").write_text(text)
        assert label(words) == REBUILT


def test_other_settings_are_never_scored_by_the_counted_script(words, folder):
    assert label(words, {"eval": words.settings["eval"]}) == REBUILT_OTHERWISE


class Hearing:
    """A logger."""

    def __init__(self, heard, node, folder):
        self.heard = heard
        heard.append((node, folder))

    def start(self, facts):
        self.heard.append(facts)

    def log(self, step, metrics):
        assert metrics.keys() == {"final_loss", "final_bpb"}
        self.heard.append(step)

    def finish(self, result):
        self.heard.append(result)


def test_a_score_that_came_too_late_ends_with_3_and_loggers_hear_of_it(words, monkeypatch, capsys):
    monkeypatch.setattr(stages, "PATIENCE", 1e6)
    words.settings["budget"]["eval_seconds"] = 0.001
    heard = []
    monkeypatch.setattr(mirror, "make", lambda node, folder, say: Hearing(heard, node, folder))
    node = {"_target_": "pgolf.logger.jsonl.Jsonl", "flush_seconds": 0}
    words = dataclasses.replace(words, loggers={"jsonl": node})
    assert road.evaluate(words) == 3
    (made, started, logged, told) = heard
    assert made == (node, words.artifact.with_name("certificate.eval.json.logs"))
    assert (started["run"]["job"], started["run"]["name"]) == ("eval", "a") and "ngram" in started["config"]
    columns = columns_of(told)
    assert logged == 0 and columns["score/bpb"] > 0 and "score/counted_bpb" not in columns
    assert columns["status"] == "over_time" and columns["certificate/passed"] and columns["bytes/code"] > 0
    assert not json.loads(words.out.read_text())["score"]["valid"]
    assert "of 0.001 allowed" in capsys.readouterr().out


def test_code_and_weights_over_the_cap_make_no_valid_score(words, folder, capsys):
    """Whatever stands in a result beside them: a script that is a text would score that text well."""
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").unlink()
    script = road.source_of(words.artifact, container.read(words.artifact), {}).script + b"#" * 1_000_000
    (folder / "train_gpt.py").write_bytes(script)
    result["artifact"]["code_sha256"] = hashlib.sha256(script).hexdigest()
    (folder / "result.json").write_text(json.dumps(result))
    assert road.evaluate(words) == 3
    record = json.loads(words.out.read_text())
    assert record["certificate"]["passed"] and not record["score"]["valid"]
    assert record["bytes_total"] == words.artifact.stat().st_size + len(script)
    assert "over the 1,000,000 budget" in " ".join(capsys.readouterr().out.split())


def test_of_several_settings_each_is_scored_whatever_became_of_the_others(monkeypatch, capsys):
    def evaluated(words):
        if words == "broken":
            raise ConfigError("ttt.trains: no such layer")
        return SimpleNamespace(val_bpb=1.25, seconds=3.0, valid=words == "own"), 4 if words == "failed" else 0

    monkeypatch.setattr(road, "_evaluated", evaluated)
    several = {"ttt=sgd": "own", "ttt=x": "broken", "ttt=lora": "other", "ttt=none": "failed"}
    assert road.evaluate_all(several) == 4
    out, err = capsys.readouterr()
    assert "2 of 4: ttt=x" in out and "no such layer" in err
    table = [line.split() for line in out.splitlines()[-4:]]
    assert [row[:3] for row in table] == [
        ["ttt=sgd", "1.2500", "3.0"],
        ["ttt=x", "-", "-"],
        ["ttt=lora", "1.2500", "3.0"],
        ["ttt=none", "1.2500", "3.0"],
    ]
    verdicts = ["valid", "ttt.trains: no such layer", road.NOT_OWN, "certificate failed"]
    assert [" ".join(row[3:]) for row in table] == verdicts
    assert road.evaluate_all({"ttt=sgd": "own"}) == 0
