"""Texts through an artifact and back: lossless for every file, refused wherever the bits could be others."""

import dataclasses
import os
import random
import tracemalloc

import brotli
import numpy as np
import pytest
import torch

from pgolf.artifact.container import read
from pgolf.core.errors import ArtifactError, DataError
from pgolf.eval.evaluation import score_stream
from pgolf.eval.from_artifact import evaluation_from
from pgolf.proof import codec
from pgolf.proof.codec import compress, decode, decompress, encode
from pgolf.proof.coded_file import read_coded
from tests.eval.stages import counts, mean
from tests.proof.making import DOCUMENTS, eval_node, network_evaluation, stream_of, write_artifact

TEXT = "".join(DOCUMENTS).encode()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return write_artifact(tmp_path_factory.mktemp("codec") / "a.pgolf")


@pytest.fixture
def never_kept(monkeypatch):
    """The untrained model wins over brotli by decree."""
    kept = codec._kept
    monkeypatch.setattr(codec, "_kept", lambda data, facts: dataclasses.replace(kept(data, facts), body=bytes(10_000)))


@pytest.fixture
def packed(artifact, never_kept):
    return compress(artifact, TEXT).data


FILES = {
    "empty": b"",
    "one byte": b"a",
    "one foreign byte": b"\xff",
    "text": TEXT,
    "text with foreign bytes": TEXT[:100] + b"\xff\xfe" + TEXT[100:400] + b"\x80",
    "random": random.Random(0).randbytes(3_000),
    "zeros": bytes(500),
    "cut in a letter": "größer".encode()[:3],
    "line ends": b"a\r\nb\rc\n\x00\x0b\x85",
}


def test_progress_is_told_of_every_token_that_is_decoded(artifact, packed):
    told = []
    decompress(artifact, packed, lambda *what: told.append(what))
    targets = read_coded(packed).tokens - 1
    assert told == [("decode", done, targets) for done in range(1, targets + 1)]


@pytest.mark.parametrize("name", list(FILES))
def test_every_file_comes_back(artifact, name):
    data = FILES[name]
    done = compress(artifact, data)
    assert decompress(artifact, done.data) == data
    assert len(done.data) <= len(data) + 50  # whatever it is


def test_a_text_takes_what_its_score_says(artifact, packed):
    file = read_coded(packed)
    evaluation = evaluation_from(read(artifact))
    tokens_N = np.concatenate([[evaluation.tokenizer.bos_id], evaluation.tokenizer.encode(TEXT.decode())])
    score = score_stream(evaluation, tokens_N, split="text", subset=True)
    bits = score.val_bpb * score.bytes
    assert score.bytes == len(TEXT)
    assert bits <= 8 * len(file.body) <= bits + 48


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("stages", [{}, {"ngram": counts(), "mixer": mean()}], ids=["network", "with counts"])
def test_streams_come_back_through_bytes(lanes, stages):
    method = network_evaluation().method
    method.lanes = lanes
    evaluation = network_evaluation(method=method, **stages)
    tokens_N = stream_of(evaluation)[:200]
    evaluator = evaluation.evaluator(len(tokens_N))
    body = encode(evaluator.fork(), tokens_N)
    first = tokens_N[list(evaluator.plan.lane_starts)].tolist()
    assert len(first) == lanes
    assert np.array_equal(decode(evaluator, first, body), tokens_N[1:])


def test_settings_that_replace_the_artifacts_travel_with_the_text(artifact, never_kept):
    overrides = {"eval": eval_node(window=16, stride=4) | {"lanes": 3}}
    data = compress(artifact, TEXT, overrides).data
    assert read_coded(data).overrides == overrides and len(read_coded(data).first_tokens) == 3
    assert decompress(artifact, data) == TEXT


def test_another_artifacts_stream_is_refused_by_name(packed, tmp_path):
    other = write_artifact(tmp_path / "b.pgolf", eval=eval_node(stride=4))
    with pytest.raises(DataError, match="SHA-256 begins with"):
        decompress(other, packed)


def test_other_bits_are_refused_before_anything_is_decoded(artifact, packed, monkeypatch):
    exact = torch.nn.functional.log_softmax
    monkeypatch.setattr(
        "pgolf.eval.network.F.log_softmax", lambda *args, **more: exact(*args, **more) + torch.tensor(1e-7)
    )
    drawn = []
    monkeypatch.setattr("pgolf.eval.decoder.Decoder.draw", lambda *args: drawn.append(args))
    with pytest.raises(DataError, match="computes other bits"):
        decompress(artifact, packed)
    assert not drawn


def test_a_body_of_other_bytes_does_not_come_out_as_a_text(artifact, packed):
    file = read_coded(packed)
    for body in (file.body[:-8], bytes(len(file.body)), os.urandom(len(file.body))):
        with pytest.raises(DataError):
            decompress(artifact, dataclasses.replace(file, body=body).to_bytes())


def test_a_stream_of_other_lanes_than_its_plan_is_refused(artifact, packed):
    file = dataclasses.replace(read_coded(packed), first_tokens=(1, 1))
    with pytest.raises(DataError, match="2 lanes in the stream, 1 in its plan"):
        decompress(artifact, file.to_bytes())


def test_a_text_of_fewer_bits_than_a_body_may_have_is_kept_by_brotli(artifact, monkeypatch):
    monkeypatch.setattr(codec, "encode", lambda *_: b"")  # so well does the model know it
    done = compress(artifact, TEXT * 2)
    assert done.form == "brotli" and decompress(artifact, done.data) == TEXT * 2


def test_what_holds_more_than_its_length_is_refused_before_it_takes_memory(artifact):
    large = brotli.compress(bytes(64_000_000), quality=1)
    kept = codec._kept(
        bytes(1000), {"artifact_print": codec._print(read(artifact).sha256), "length": 10, "checksum": 0}
    )
    data = dataclasses.replace(kept, form="brotli", body=large).to_bytes()
    tracemalloc.start()
    with pytest.raises(DataError, match="holds more than the 10 bytes declared"):
        decompress(artifact, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize(
    "overrides",
    [
        {"eval": eval_node(window="x")},
        {"eval": eval_node() | {"lanes": None}},
        {"ttt": eval_node()},
        {"ngram": {"_target_": "pgolf.mixer.none.Single"}},
    ],
)
def test_settings_of_which_no_evaluation_can_be_made_are_refused(artifact, packed, overrides):
    with pytest.raises(DataError, match="no evaluation can be made of"):
        decompress(artifact, dataclasses.replace(read_coded(packed), overrides=overrides).to_bytes())


@pytest.mark.parametrize("first", [260, 60_000, 2**63])
def test_a_lane_that_begins_with_no_token_of_the_artifact_is_refused(artifact, packed, first):
    with pytest.raises(DataError, match=f"begins with token {first}"):
        decompress(artifact, dataclasses.replace(read_coded(packed), first_tokens=(first,)).to_bytes())


def test_too_little_memory_is_told_in_a_line(artifact, packed, monkeypatch):
    def none_left(*_):
        raise MemoryError("Unable to allocate 72.8 TiB")

    monkeypatch.setattr(codec, "rows_print", none_left)
    with pytest.raises(DataError, match=r"no memory here .*72\.8 TiB"):
        decompress(artifact, packed)


def test_what_is_no_artifact_is_refused(tmp_path):
    (tmp_path / "a.pgolf").write_bytes(b"nothing")
    with pytest.raises(ArtifactError):
        compress(tmp_path / "a.pgolf", TEXT)
