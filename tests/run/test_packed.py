"""Packed counts on their way through a run: from the training text into the artifact, and into the evaluation."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pgolf.artifact import container
from pgolf.artifact.ledger import artifact_record
from pgolf.artifact.pack import check_counts, pack
from pgolf.core.errors import ArtifactError, ConfigError
from pgolf.core.make import make
from pgolf.eval.evaluation import score_stream
from pgolf.eval.from_artifact import evaluation_from
from pgolf.proof.codec import decode, encode
from pgolf.run import stages
from pgolf.run.rules import check
from tests.helpers import tiny_model, tiny_settings
from tests.run.test_stages import only_run, result, train

WORDS = ("data=tiny", "tokenizer=bytes", "quant=int5_rtn", "compressor=zlib", "mixer=tree")
PLAIN = ("ngram=none",)
PACKED = ("ngram=packed", "ngram.packed_bytes=2500")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    cfg = {**tiny_settings(*WORDS, *PLAIN), "cache_dir": str(tmp_path_factory.mktemp("cache"))}
    return stages.prepare_dataset(cfg, lambda *told: None)


def loaded_of(dataset, *words):
    cfg = tiny_settings(*WORDS, *words)
    model = tiny_model(vocab_size=dataset.tokenizer.vocab_size)
    packed = pack(cfg, make(cfg["quant"]), dataset, model, model.state_dict(), None, code_bytes=0)
    return container.decode(packed.data)


def test_the_artifact_brings_what_the_evaluation_begins_with(dataset):
    plain, packed = loaded_of(dataset, *PLAIN), loaded_of(dataset, *PACKED)
    record = artifact_record("a", packed, bytes_code=0, code_sha256="", cap_bytes=10**6, counts_tokenizer=True)
    assert 2_000 < record.bytes_packed <= 2_500
    assert record.bytes_total == sum(packed.bytes_by_role.values())
    tokens_N = dataset.stream("dev")[:1_500]
    scores = [
        score_stream(replace(evaluation_from(loaded), workers=1), tokens_N, split="dev", subset=True)
        for loaded in (plain, packed)
    ]
    assert scores[1].method == "streaming+packed+tree"
    assert scores[1].val_bpb < scores[0].val_bpb - 0.2  # the network knows nothing, the tree nothing yet
    assert abs(scores[1].sum_p_max - 1) < 1e-5


def test_too_little_room_is_refused_before_training(dataset):
    words = ("ngram=packed", "ngram.packed_bytes=8")
    with pytest.raises(ConfigError, match=r"ngram\.packed_bytes: 8; the tokens' counts alone take"):
        check_counts(tiny_settings(*WORDS, *words), dataset)
    check_counts(tiny_settings(*WORDS, *PACKED), dataset)


def test_what_begins_with_packed_counts_is_decoded(dataset):
    evaluation, tokens_N = evaluation_from(loaded_of(dataset, *PACKED)), dataset.stream("dev")[:200].astype(np.int64)
    body = encode(evaluation.evaluator(200), tokens_N)
    assert np.array_equal(decode(evaluation.evaluator(200), [int(tokens_N[0])], body), tokens_N[1:])


def test_an_artifact_without_packed_counts_cannot_be_scored_with_them(dataset):
    override = {"ngram": tiny_settings(*WORDS, *PACKED)["ngram"]}
    with pytest.raises(ArtifactError, match="ngram=packed: there are no packed counts in this artifact"):
        evaluation_from(loaded_of(dataset, *PLAIN), overrides=override)


def test_packed_counts_that_nobody_begins_with_are_refused():
    with pytest.raises(ConfigError, match="ngram: packed counts, and nobody whose counts would begin with them"):
        check(tiny_settings("ngram=packed", "mixer=geometric"))
    check(tiny_settings("ngram=packed", "mixer=tree"))


@pytest.mark.slow
def test_a_run_with_packed_counts_ends_certified(tmp_path):
    done = train(*WORDS[2:], *PACKED, "hook=[]", "budget.eval_seconds=300", tmp=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = only_run(tmp_path)
    facts, certificate = result(folder), json.loads((folder / "certificate.json").read_text())
    assert facts["certificate"]["passed"] and facts["scores"]["final"]["valid"]
    assert 0 < facts["artifact"]["bytes_packed"] <= 2_500 and "counts of training text" in done.stdout
    assert {probe["letter"] for probe in certificate["probes"]} >= {"a", "b", "f"}
