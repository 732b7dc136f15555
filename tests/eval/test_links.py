"""Sealed evaluations that several processes share, and the pipes between these."""

import os
import signal
import socket
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pgolf.config.compose import node
from pgolf.core.errors import RankLost
from pgolf.core.ranks import ONE, share
from pgolf.eval import home as forking
from pgolf.eval.frames import send
from pgolf.eval.links import Link, LinkedRanks, last_words
from pgolf.eval.sealed import final_score, score_sealed
from pgolf.eval.source import SERVE, PackageSource
from pgolf.proof.audit import audit_sealed
from tests.processes import descendants, until
from tests.proof.making import network_evaluation, stream_of, write_artifact


@pytest.fixture(scope="module")
def evaluation():
    return network_evaluation()


@pytest.fixture(scope="module")
def tokens_N(evaluation):
    return stream_of(evaluation)[:200]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    words = ["size=tiny", "ttt.chunk_tokens=64", "ttt.window=16"]
    return write_artifact(tmp_path_factory.mktemp("linked") / "artifact.pgolf", ttt=node("ttt", "sgd", words))


@pytest.fixture(scope="module")
def alone(artifact, tokens_N):
    return score_sealed(artifact, tokens_N, threads=2)


def linked(world):
    """Ranks of this very process, for a thread each."""
    links = [[] for _ in range(world)]
    for rank in range(1, world):
        for there, end in zip((0, rank), socket.socketpair(), strict=True):
            number = end.detach()
            links[there].append(Link(os.fdopen(number, "rb"), os.fdopen(os.dup(number), "wb"), 0))
    return [LinkedRanks(rank, links[rank], world, "cpu") for rank in range(world)]


def in_threads(work, group):
    """What each rank returns or raises."""
    found = [None] * len(group)

    def run(ranks):
        try:
            found[ranks.rank] = work(ranks)
        except RankLost as error:
            found[ranks.rank] = error

    threads = [threading.Thread(target=run, args=(ranks,)) for ranks in group]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a rank waits for ever"
    return found


def parts(ranks, count):
    """Of ``count`` pairs of tensors, whose sum depends on the order, those that are this rank's."""
    made = [torch.randn(7, generator=torch.Generator().manual_seed(n)) * 10.0 ** (3 * n) for n in range(count)]
    return [[made[n][:3].clone(), made[n][3:].view(2, 2).clone()] for n in share(ranks, count)]


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("count", [5, 1, 0])
def test_a_sum_has_the_bits_of_one_rank_that_adds_in_order(world, count):
    like = [torch.ones(3), torch.ones(2, 2)]
    expected = ONE.summed(parts(ONE, count), like)
    for found in in_threads(lambda ranks: ranks.summed(iter(parts(ranks, count)), like), linked(world)):
        assert all(map(torch.equal, found, expected))


def test_all_get_what_each_gives_and_what_the_first_tells():
    def work(ranks):
        mine = [torch.full((ranks.rank, 2), float(ranks.rank)), torch.tensor(0.5)] * ranks.rank
        number_n = np.array([ranks.rank, 2**62])
        return ranks.gathered(mine), ranks.told(number_n), ranks.told(number_n[:0])

    for gathered, told, nothing in in_threads(work, linked(3)):
        assert [[tuple(tensor.shape) for tensor in given] for given in gathered] == [
            [],
            [(1, 2), ()],
            [(2, 2), (), (2, 2), ()],
        ]
        assert gathered[2][0].tolist() == [[2.0, 2.0], [2.0, 2.0]] and gathered[1][1] == 0.5
        assert told.tolist() == [0, 2**62] and nothing.tolist() == []


def test_a_rank_that_has_gone_is_named():
    def work(ranks):
        if ranks.rank == 0:
            return ranks.gathered([])
        for end in (ranks._links[0].says, ranks._links[0].hears):
            end.close()
        return None

    left, _ = in_threads(work, linked(2))
    assert isinstance(left, RankLost) and "rank 1 of its 2 processes has ended before it was done" in str(left)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"ended": "error", "class": "ConfigError", "message": "no lanes"}, "no lanes"),
        ({"ended": "refused", "violations": [["open", "/etc/passwd"]]}, "/etc/passwd"),
    ],
)
def test_what_another_rank_says_last_is_told(message, words):
    def work(ranks):
        if ranks.rank == 0:
            return ranks.gathered([])
        send(ranks._links[0].says, message)
        return None

    left, _ = in_threads(work, linked(2))
    assert isinstance(left, RankLost) and words in str(left) and words in last_words(message)


# --- sealed ---------------------------------------------------------------------------------------------------------


def test_two_sealed_ranks_have_the_bits_of_one(artifact, tokens_N, alone):
    shared = score_sealed(artifact, tokens_N, ranks=2, threads=2)
    assert shared.commitment == alone.commitment and shared.complete and not shared.violations
    assert np.array_equal(shared.sum_p_N, alone.sum_p_N)
    assert (shared.facts["ranks"], alone.facts["ranks"]) == (2, 1)
    assert shared.facts["isolation"] == alone.facts["isolation"]
    assert shared.peak_bytes > 1.5 * alone.peak_bytes  # of both


@pytest.mark.slow  # starts another zygote; a decoder on two ranks has a test of its own
def test_two_ranks_that_see_no_future_have_what_one_has_scored(artifact, tokens_N, alone):
    audit = audit_sealed(artifact, tokens_N, alone, vocab_size=260, places=6, stretch_tokens=2, ranks=2, threads=2)
    assert audit.complete and audit.largest < 1e-6


@pytest.mark.slow  # compiles kernels in two processes; what the judge makes of it is tested beside the judge
def test_targets_are_priced_alone_where_the_stream_is_too_long_for_rows(evaluation, artifact, tokens_N):
    program = f"from pgolf.eval import evaluation; evaluation.MOST_ENTRIES = 0; {SERVE}"
    counts = {"ngram": node("ngram", "backoff", ["ngram.max_order=2"]), "mixer": node("mixer", "bucketed")}
    source, how = PackageSource(program), {"ranks": 2, "threads": 2}
    priced = score_sealed(artifact, tokens_N, source=source, overrides=counts, **how)
    assert not np.isnan(priced.nll_nats_N).any() and np.isnan(priced.sum_p_N).all()
    score = final_score(evaluation, tokens_N, priced, subset=False)
    assert np.isfinite(score.val_bpb) and np.isnan([score.sum_p_mean, score.renormalised_bpb]).all()
    told = list(priced.facts["parts"])
    assert told == ["load", "compile", "prepare", "network", "backoff", "bucketed", "prices", "observe"]
    assert [trace.name for trace in score.traces][:3] == ["backoff.hit", "backoff.target_hit", "backoff.mb"]
    some_N = np.where(np.arange(len(tokens_N) - 1) < 5, 1.0, np.nan)
    assert np.isnan(final_score(evaluation, tokens_N, replace(priced, sum_p_N=some_N), subset=False).val_bpb)


def test_a_rank_that_is_killed_ends_the_evaluation_by_name_and_leaves_no_process(artifact, tokens_N, monkeypatch):
    fork, first, others = forking.fork, [], []

    def forked(*asked):
        first.append(fork(*asked))
        return first[-1]

    def progress(label, done, total):
        if not others:
            others.extend(descendants(first[0].pid))
            os.kill(others[0].pid, signal.SIGKILL)

    monkeypatch.setattr(forking, "fork", forked)
    longer_N = np.tile(tokens_N, 10)  # or all of it is scored before the kill
    with pytest.raises(RankLost, match="rank 1 of its 2 processes has ended"):
        score_sealed(artifact, longer_N, ranks=2, threads=2, progress=progress)
    assert len(first) == len(others) == 1
    until(lambda: not others[0].alive() and not descendants(first[0].pid), 10)
    until(lambda: not Path(f"/proc/{first[0].pid}").exists(), 10)


def test_what_another_rank_may_not_reach_ends_the_evaluation(artifact, tokens_N, tmp_path):
    (tmp_path / "prior").write_bytes(b"what nobody counts")
    reach = f"rank = order['group'].rank; rank and open({str(tmp_path / 'prior')!r}, 'rb'); "
    with pytest.raises(RankLost, match="prior"):
        score_sealed(artifact, tokens_N, ranks=2, threads=2, source=PackageSource(reach + SERVE))
