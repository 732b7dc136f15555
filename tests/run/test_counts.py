"""A run whose evaluation learns at every token, from its words to its certificate."""

import json
from contextlib import nullcontext

import pytest

from pgolf.build import build_model
from pgolf.core.errors import ConfigError
from pgolf.core.process import Process
from pgolf.run import stages
from pgolf.run.recorder import Recorder
from tests.helpers import tiny_settings
from tests.run.test_stages import only_run, result, train

QUICK = ("quant=int5_rtn", "compressor=zlib", "hook=[]")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        pytest.param(["mixer=tree"], "-bytes-int5_rtn", id="as by default"),
        pytest.param(["ngram=backoff", "mixer=bucketed"], "backoff-bucketed", marks=pytest.mark.slow),
    ],
)
def test_a_run_with_counts_and_a_mixer_ends_certified(words, named, tmp_path):
    done = train(*QUICK, *words, "budget.eval_seconds=300", tmp=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = only_run(tmp_path)
    assert named in folder.parent.name
    facts, certificate = result(folder), json.loads((folder / "certificate.json").read_text())
    assert facts["certificate"]["passed"] and facts["scores"]["final"]["valid"]
    assert "track B" in done.stdout  # it learns from what it has scored
    measured = {probe["letter"]: probe["measured"] for probe in certificate["probes"]}
    assert measured["b"]["looked_at"] >= 200 and measured["b"]["largest_difference_nats"] < 1e-12
    assert measured["a"]["positions"] == 2047 and measured["a"]["largest_deviation"] < 1e-6
    # Twenty steps teach a network less than two thousand bytes teach counts.
    assert facts["scores"]["dev"]["val_bpb"] < facts["scores"]["roundtrip"]["val_bpb"] - 0.5


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["ngram=backoff", "mixer=bucketed", "ngram.max_memory_mb=2"], None),
        (
            ["ngram=backoff", "mixer=bucketed", "ngram.max_memory_mb=1"],
            r"max_memory_mb: a round of [\d,]+ tokens can take 2 MB",
        ),
        (
            ["ngram=none", "mixer=tree", "mixer.max_memory_mb=1"],
            r"mixer\.max_memory_mb: 1; counts up to order \d of [\d,]+ tokens .* not pruned",
        ),
    ],
)
def test_counts_that_might_not_fit_are_pruned_or_refused_before_training(tmp_path, words, refusal):
    cfg = tiny_settings("data=tiny", "tokenizer=bytes", *words)
    dataset = stages.prepare_dataset({**cfg, "cache_dir": str(tmp_path)}, lambda *told: None)
    recorder = Recorder(cfg, Process(rank=0, world=1))
    evaluation = stages.composed(recorder, dataset, build_model(cfg, dataset, recorder.device))
    with nullcontext() if refusal is None else pytest.raises(ConfigError, match=refusal):
        stages.rehearse(recorder, dataset, evaluation)
