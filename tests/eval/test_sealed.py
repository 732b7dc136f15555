import numpy as np
import pytest

from pgolf.artifact import container
from pgolf.core.errors import ArtifactError, ConfigError
from pgolf.eval.evaluation import make_score, score_stream
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.sealed import SealedError, SealedScore, final_score, score_sealed
from pgolf.proof.shelf import stream_of
from tests.proof.making import DOCUMENTS, eval_node, write_artifact


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return write_artifact(tmp_path_factory.mktemp("sealed") / "a.pgolf")


@pytest.fixture(scope="module")
def evaluation(artifact):
    return evaluation_from(container.read(artifact))


@pytest.fixture(scope="module")
def tokens_N(evaluation):
    return stream_of(evaluation, DOCUMENTS)[0]


def test_sealed_score_equals_the_score_of_this_process(artifact, evaluation, tokens_N):
    seen = []
    sealed = score_sealed(
        artifact, tokens_N, threads=1, progress=lambda _, done, total: seen.append((done, total))
    )
    here = score_stream(evaluation, tokens_N, split="val", subset=True)
    score = make_score(
        evaluation, tokens_N, sealed.nll_nats_N, split="val", subset=True, seconds=sealed.seconds, valid=True
    )
    assert score.val_bpb == pytest.approx(here.val_bpb, abs=1e-9)
    assert sealed.complete
    assert sealed.violations == ()
    assert seen[-1] == (len(tokens_N) - 1, len(tokens_N) - 1)
    assert [sent for sent, _ in sealed.reveals] == [129, 257, 385, len(tokens_N)]
    assert sealed.facts["artifact_sha256"] == container.read(artifact).sha256
    assert sealed.facts["working_directory_entries"] == 0
    assert sealed.peak_bytes > 0


def test_overrides_reach_the_sealed_process(artifact, tokens_N):
    sealed = score_sealed(artifact, tokens_N, threads=1, overrides={"eval": eval_node(chunk_tokens=256)})
    assert len(sealed.reveals) == 2
    assert sealed.facts["overrides"] == ["eval"]


def test_a_damaged_artifact_is_the_same_error_as_here(artifact, tokens_N, tmp_path):
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    broken = tmp_path / "broken.pgolf"
    broken.write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match="SHA-256"):
        score_sealed(broken, tokens_N, threads=1)
    with pytest.raises(ConfigError, match="fixed by the artifact"):
        score_sealed(artifact, tokens_N, threads=1, overrides={"arch": {}})


def test_a_crash_shows_the_sealed_processs_own_message(artifact):
    with pytest.raises(SealedError, match=r"(?s)status 1.*(out of bounds|out of range)"):
        score_sealed(artifact, np.array([1, 60000, 60000], dtype=np.uint16), threads=1)


def test_time_over_ends_the_sealed_process(artifact, tokens_N):
    with pytest.raises(SealedError, match=r"ended after 0\.05 s; .* larger budget.eval_seconds"):
        score_sealed(artifact, tokens_N, threads=1, limit_seconds=0.05)


def test_refused_access_is_reported_even_when_swallowed(artifact, tokens_N):
    sealed = score_sealed(artifact, tokens_N, threads=1, cheat="file_reader")
    assert sealed.complete
    (violation,) = sealed.violations
    assert (violation.kind, violation.event) == ("access", "open")
    assert violation.what.endswith("pgolf-side-counts.npy")


def test_final_score_counts_given_bytes_and_is_no_number_where_a_score_is_missing(evaluation, tokens_N):
    targets = len(tokens_N) - 1
    sealed = SealedScore(np.ones(targets), 1.0, (), (), 0, {})
    score = final_score(evaluation, tokens_N, sealed, True, np.full(targets, 2))
    assert score.bytes == 2 * targets and score.val_bpb == pytest.approx(0.5 / np.log(2))
    assert score.subset and not score.valid
    broken = SealedScore(np.full(targets, np.nan), 1.0, (), (), 0, {})
    assert np.isnan(final_score(evaluation, tokens_N, broken, False).val_bpb)
