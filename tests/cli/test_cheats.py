"""Every cheat on the shelf, under every modifier, is rejected by the probe it offends; the honest evaluation is not."""

import argparse
import re
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch

from pgolf.cli.cheats import add_parser
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.eval.network import FixedNetwork
from pgolf.eval.sliding import Sliding
from pgolf.eval.slots import DoubleScore
from pgolf.proof import cheats
from pgolf.proof.certificate import certify
from pgolf.proof.cheats import Cheat, by_name, names, shelf
from pgolf.proof.cheats.altered import Alteration, altered
from pgolf.proof.cheats.length_gate import AdaptsByLength
from pgolf.proof.cheats.wrong_denominator import DividesByContext
from pgolf.proof.profiles import Profile
from pgolf.proof.shelf import own_documents, run_shelf
from pgolf.tokenizer.bytes import ByteTokenizer
from tests.eval.fakes import Bigram
from tests.eval.stages import counts, mean
from tests.helpers import tiny_settings
from tests.proof.making import (
    DOCUMENTS,
    context_of,
    network_evaluation,
    pretend_audit,
    pretend_sealed,
    stream_of,
    write_artifact,
)

PROBES = {
    "a": "normalisation",
    "b": "prefix-only audit",
    "c": "single pass",
    "d": "coverage and bytes",
    "e": "artifact only",
}
# What these do only a process can show: a second write, a refused access, a patch that must not reach the judge.
OF_A_PROCESS = ("settles_twice", "tail_again", "file_reader", "socket_opener", "judge_patcher", "chooses_turns")
# In the quick suite: what is tried with counts beside the network too, and in its modified forms.
WITH_COUNTS = ("in_chunk_peeker", "learn_first", "memo", "target_aware", "unnormalised")
MODIFIED = ("in_chunk_peeker",)
# What only a network that looks back shows, and need not gain; and all that is tried on one.
OF_A_WINDOW = ("window_from_the_end", "documents_by_length")
OF_A_TRANSFORMER = (*OF_A_WINDOW, "in_chunk_peeker", "smear_ahead", "two_pass")


# A few windows of text that learning cheats find something in, with a clipped block at its end.
TEXT = [DOCUMENTS[0][:80], DOCUMENTS[1][:40], DOCUMENTS[2][:110]]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return write_artifact(tmp_path_factory.mktemp("cheats") / "a.pgolf")


@cache
def evaluated(transformer, learning):
    """(evaluation, TEXT's stream, nats of its honest score); rounds are short, so that much is learnt in between.

    Where a cheat cheats is one thing and what it alters another: mostly a bigram, at a thirtieth of the time, stands
    for the transformer.
    """
    changes = {"ngram": counts(), "mixer": mean()} if learning else {}
    network = None if transformer else FixedNetwork(Bigram(ByteTokenizer().vocab_size, seed=2))
    evaluation = network_evaluation(network, **changes)
    evaluation = replace(evaluation, method=Sliding(**{**vars(evaluation.method), "batch_windows": 1}))
    tokens_N = stream_of(evaluation, TEXT)
    return evaluation, tokens_N, float(pretend_sealed(evaluation, tokens_N).nll_nats_N.sum())


def judged(evaluation, cheat, tokens_N, places=10_000, documents=DOCUMENTS):
    """(claimed nats, certificate) of the cheat where scorer and audited run in this process."""
    cheating = cheat.apply(evaluation)
    if cheat.text is not None:
        tokens_N, documents = cheat.text(tokens_N, documents, evaluation.tokenizer)
    sealed = pretend_sealed(cheating, tokens_N)
    audit = pretend_audit(cheating, tokens_N, sealed, places=places)
    context = context_of(cheating, documents, sealed=sealed, audit=audit, tokens_N=tokens_N)
    return float(np.nansum(sealed.nll_nats_N)), certify(context)


def of_this_process():
    """Names, and whether counts stand beside the network. Modified forms all run under ``pgolf cheats``."""
    found = []
    for name in names():
        stem, _, modifier = name.partition("+")
        slow = [pytest.mark.slow] * bool(modifier and stem not in MODIFIED)
        if stem not in OF_A_PROCESS:
            found.append(pytest.param(name, False, marks=slow, id=name))
        if stem not in (*OF_A_PROCESS, *OF_A_WINDOW):
            slow = slow or [pytest.mark.slow] * (stem not in WITH_COUNTS)
            found.append(pytest.param(name, True, marks=slow, id=f"{name}, with counts"))
    return found


@pytest.mark.parametrize(("name", "learning"), of_this_process())
def test_cheat_is_caught_by_the_probe_it_offends(name, learning):
    cheat = by_name(name)
    evaluation, tokens_N, honest_nats = evaluated(
        transformer=name in OF_A_TRANSFORMER and not learning, learning=learning
    )
    claimed, certificate = judged(evaluation, cheat, tokens_N, documents=TEXT)
    failed = {probe.letter: probe for probe in certificate.probes if not probe.passed}
    if name.startswith("unnormalised") and learning:
        assert failed, "the mixture divides by nothing either"
    else:
        assert cheat.letter in failed, certificate
        assert failed[cheat.letter].name == PROBES[cheat.letter]
    if cheat.text is not None:  # on that text
        honest_nats = judged(evaluation, replace(cheat, apply=lambda honest: honest), tokens_N, documents=TEXT)[0]
    assert claimed <= honest_nats + 1e-6 or name in OF_A_WINDOW  # or it would not be worth cheating


@pytest.mark.parametrize("learning", [False, True], ids=["network", "with counts"])
@pytest.mark.parametrize("transformer", [False, True], ids=["bigram", "transformer"])
def test_the_honest_evaluation_of_the_same_text_passes(transformer, learning):
    evaluation, tokens_N, _ = evaluated(transformer, learning)
    assert judged(evaluation, Cheat("none", "", lambda honest: honest), tokens_N, documents=TEXT)[1].passed


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in ("socket_opener", "tail_again", "chooses_turns")))
        for name in OF_A_PROCESS
    ],
)
def test_what_only_a_process_shows_is_caught_in_one(artifact, name):
    (finding,) = run_shelf(artifact, DOCUMENTS, [by_name(name)], profile=Profile(places=20, decoded=10))
    failed = {probe.letter: probe for probe in finding.certificate.probes if not probe.passed}
    assert by_name(name).letter in failed and failed[by_name(name).letter].name == PROBES[by_name(name).letter]


class Idle(Alteration):
    """Alters nothing."""

    def rows(self, p_BKV, batch):
        return p_BKV


class CarriesOver(Idle):
    """The token before a document's beginning has a part in the row after it: causal, so a code length (#1797)."""

    def rows(self, p_BKV, batch):
        begins_BK1 = (batch.inputs_BT == ByteTokenizer.bos_id)[:, -batch.keep :].unsqueeze(-1)
        before_BKV = torch.cat([p_BKV[:, :1], p_BKV[:, :-1]], dim=1)
        return torch.where(begins_BK1, (p_BKV + before_BKV) / 2, p_BKV)


class OpenGate(AdaptsByLength):
    """Whatever a document's length."""

    def gate(self, goes_on_BK):
        return torch.ones_like(goes_on_BK)


class DividesByItsSum(DividesByContext):
    def denominator(self, joint_BKV, seen_BK1):
        return joint_BKV.sum(-1, keepdim=True)


@pytest.mark.parametrize("form", [CarriesOver, OpenGate, DividesByItsSum])
def test_the_valid_form_of_a_cheat_passes(form):
    evaluation, tokens_N, _ = evaluated(False, False)
    valid = Cheat("valid", "", partial(altered, alteration=form, modifier="plain"))
    certificate = judged(evaluation, valid, tokens_N, documents=TEXT)[1]
    assert certificate.passed, certificate.failed


def test_what_is_scored_again_meets_a_slot_that_is_taken():
    evaluation, tokens_N, _ = evaluated(False, False)
    with pytest.raises(DoubleScore, match="was scored already"):
        pretend_sealed(by_name("tail_again").apply(evaluation), tokens_N)


@pytest.mark.parametrize("name", ["unnormalised", "in_chunk_peeker+late", "memo", "score_after_update+conditional"])
def test_cheats_are_caught_over_a_network_that_adapts_too(name):
    evaluation = network_evaluation(
        ttt=make(tiny_settings("ttt=sgd", "ttt.chunk_tokens=32", "ttt.window=32", "ttt.lr=0.1")["ttt"])
    )
    tokens_N = stream_of(evaluation)
    idle = Cheat("idle", "b", partial(altered, alteration=Idle, modifier="plain"))
    assert judged(evaluation, idle, tokens_N, places=60)[1].passed
    certificate = judged(evaluation, by_name(name), tokens_N, places=60)[1]
    assert by_name(name).letter in [probe.letter for probe in certificate.probes if not probe.passed]


def test_two_hundred_places_find_a_leak_in_one_context_of_fifty():
    """Half of the places are drawn where targets are cheap, which is where a leak is worth anything."""
    evaluation = network_evaluation()
    tokens_N = stream_of(evaluation, DOCUMENTS * 8)
    for cheat in ("in_chunk_peeker+conditional", "score_after_update+conditional", "smear_ahead+late"):
        assert not judged(evaluation, by_name(cheat), tokens_N, places=200)[1].passed, cheat


def test_the_shelf_has_a_cheat_for_every_probe_in_their_order():
    letters = [cheat.letter for cheat in shelf()]
    assert letters == sorted(letters) and set(letters) == set(PROBES)


def test_a_file_put_on_the_shelf_is_on_it(monkeypatch, tmp_path):
    (tmp_path / "dropped_in.py").write_text("LETTER = 'a'\ndef apply(evaluation):\n    return evaluation\n")
    monkeypatch.setattr(cheats, "__path__", [*cheats.__path__, str(tmp_path)])
    assert "dropped_in" in names() and "dropped_in" in [cheat.name for cheat in shelf()]
    assert by_name("dropped_in").letter == "a"


@pytest.mark.parametrize(
    "name", ["altered", "../shelf", "os.path", "", "Double_Scorer", "double_scorer+slow", "smear_ahead+never"]
)
def test_what_is_no_cheat_is_refused(name):
    with pytest.raises(ConfigError, match="no '"):
        by_name(name)


def test_unknown_cheat_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean 'double_scorer'"):
        by_name("double_score")


def test_every_mistyped_word_of_the_command_is_named_once_with_its_place_and_the_nearest_name_first(capsys):
    options = parsed("x.pgolf", "--only", "two_pas", "memo", "memo+lat")
    assert options.run(options) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("pgolf cheats: --only: no 'two_pas' on the shelf of cheats. Did you mean 'two_pass'? There")
    assert "Did you mean 'memo+late'?" in second and "smear_ahead[+]" in second and "two_pass," in second


def parsed(*words):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["cheats", *map(str, words)])


def test_command_prints_a_row_for_each_and_says_which_form_was_published(artifact, capsys, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(DOCUMENTS), encoding="utf-8")
    options = parsed(artifact, "--text", text, "--only", "tail_dropper", "two_pass", "--places", 20)
    assert options.run(options) == 0
    printed = capsys.readouterr().out
    assert "none (honest)" in printed and "tail_dropper" in printed
    (row,) = [line for line in printed.splitlines() if line.startswith("two_pass")]
    assert re.search(r"\s[\d.]+  \(b\),\(f\) +published, #.*: \(b\) \d+ of \d+ committed scores are not", row)
    assert "2 of 2 cheats caught" in printed


def test_command_on_a_file_that_is_no_artifact_says_so(tmp_path, capsys):
    options = parsed(tmp_path / "missing.pgolf")
    assert options.run(options) == 2
    shown = capsys.readouterr()
    assert "missing.pgolf" in shown.err and not shown.out, "no head of a table that does not come"


@pytest.mark.parametrize("places", ["nan", "0", "-1", "many"])
def test_an_audit_looks_somewhere(places, capsys):
    with pytest.raises(SystemExit) as stop:
        parsed("x.pgolf", "--places", places)
    assert stop.value.code == 2 and "--places" in capsys.readouterr().err


def test_the_packages_own_source_is_text_enough():
    assert sum(map(len, own_documents())) > 100_000
