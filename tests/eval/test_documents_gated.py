"""A gate on documents' lengths. Expected: each document by an evaluation without a gate, of two rates."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from pgolf.config.compose import node
from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts
from pgolf.eval.coder import Informed
from pgolf.eval.documents_gated import GatedDocuments
from pgolf.eval.ending import Ending
from pgolf.eval.evaluation import score_stream
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork
from pgolf.eval.sampler import sample_text
from pgolf.eval.sealed import Refused, Telling
from pgolf.proof.codec import decode, encode, rows_print
from pgolf.proof.coded_file import PRINT_BYTES, CodedFile, read_coded
from pgolf.run.rules import check
from tests.eval.test_documents import LENGTHS, STRIDE, WINDOW, documents, joined, scored, stopped, texts
from tests.helpers import BOS, VOCAB, tiny_settings
from tests.proof.making import network_evaluation, pretend_audit, pretend_decoding, pretend_sealed, stream_of
from tests.ttt.making import made
from tests.ttt.test_document_lora import lora

LEAST, MOST = 18, 32  # of LENGTHS with both BOS: 32, 7, 2, 43, 9, 18, and of the last, which nothing ends, 24
PLAIN = [1, 2, 3, 4]
SPANS = [text + 1 for text in LENGTHS[:-1]] + [LENGTHS[-1]]  # targets of each
TEXTS = ["The boats lie on the sand, the boats.", "Ein kurzer Text", "", "one two three four one two three four"]


@pytest.fixture(scope="module")
def model():
    return made("arch.layers=2")


@pytest.fixture(scope="module")
def tokens_N():
    return joined([np.resize(text[:7], len(text)) for text in texts()])  # each repeats itself


def gated(least=LEAST, most=MOST, beside=3, window=WINDOW, stride=STRIDE, order="stream", batch_windows=2):
    return GatedDocuments(
        min_document_tokens=least,
        max_document_tokens=most,
        window=window,
        stride=stride,
        batch_documents=beside,
        batch_windows=batch_windows,
        order=order,
        official_truncation=False,
    )


def evaluator_of(model, tokens_N, method, ttt=None, workers=1):
    facts = Facts(VOCAB, BOS, len(tokens_N), workers=workers, lanes=method.lanes, apart=True)
    return Evaluator((ttt or lora()).wrap(FixedNetwork(model), facts), method.plan(facts), facts)


def nll(model, tokens_N, method, ttt=None, **how):
    return scored(evaluator_of(model, tokens_N, method, ttt, **how), tokens_N)


# --- what the gate does ---------------------------------------------------------------------------------------------


def test_a_gate_that_lets_all_through_is_none_to_the_bit_and_tells_nothing(model, tokens_N):
    for beside in (1, 3):
        neutral, plain = gated(0, None, beside), documents(beside)
        facts = Facts(VOCAB, BOS, len(tokens_N))
        assert neutral.plan(facts) == plain.plan(facts)
        assert np.array_equal(nll(model, tokens_N, neutral), nll(model, tokens_N, plain))
    assert np.array_equal(nll(model, tokens_N, gated(2, 1000)), nll(model, tokens_N, documents()))  # told, all of them


@pytest.mark.parametrize("order", ["stream", "longest_first"])
@pytest.mark.parametrize("beside", [1, 3, 9])
def test_a_document_outside_is_scored_as_unadapted_and_one_inside_as_without_a_gate(model, tokens_N, beside, order):
    """One window at a time, so that a row is made in the same batch in all three."""
    how = {"beside": beside, "order": order, "batch_windows": 1}
    got = nll(model, tokens_N, gated(**how))
    fixed, adapted = (nll(model, tokens_N, documents(**how), ttt) for ttt in (lora(lr=0.0), lora()))
    plain_N = np.repeat([number in PLAIN for number in range(len(LENGTHS))], SPANS)
    assert np.array_equal(got[plain_N], fixed[plain_N]) and np.array_equal(got[~plain_N], adapted[~plain_N])
    assert np.abs(fixed - adapted)[plain_N].max() > 0.01 < np.abs(fixed - adapted)[~plain_N].max()


def test_threads_change_no_bit_and_batches_none_that_matters(model, tokens_N):
    one = nll(model, tokens_N, gated(batch_windows=1))
    for how in ({"batch_windows": 9, "beside": 9}, {"batch_windows": 2}):
        alone, several = (nll(model, tokens_N, gated(**how), workers=workers) for workers in (1, 2))
        assert np.array_equal(several, alone)
        np.testing.assert_allclose(alone, one, atol=1e-6)


def test_no_share_and_no_temperature_of_the_adapters_is_left_in_a_document_outside(model, tokens_N):
    fixed = nll(model, tokens_N, documents(), lora(lr=0.0))
    assert np.array_equal(nll(model, tokens_N, gated(1000, None), lora(keep=0.3, temperature=0.9)), fixed)


def test_a_that_is_kept_warm_has_learnt_nothing_from_a_document_outside(model):
    found = texts()
    others = [text[::-1] if number == 3 else text for number, text in enumerate(found)]
    for least, alike in ((0, False), (LEAST, True)):
        some, other = (
            nll(model, joined(t), gated(least, 40 if least else None, 1), lora(warm=True)) for t in (found, others)
        )
        first = len(joined(found[:4])) + len(found[4])
        assert np.array_equal(some[first:], other[first:]) is alike


# --- what a decoder is told -----------------------------------------------------------------------------------------


def test_a_bit_is_charged_for_each_document_and_they_come_as_two_bytes_for_fourteen():
    for documents_ in (1, 4, 14, 15, 400):
        tokens_N = joined(texts([3] * documents_))
        for longest_first in (False, True):
            how = Ending(BOS, len(tokens_N) - 1, 2, longest_first)
            without, told = how.cut(tokens_N), replace(how, within=(4, 9)).cut(tokens_N)
            assert told.side_bits == without.side_bits + documents_
            flags = told.told[len(without.told) :]
            assert told.told[: len(without.told)] == without.told
            assert len(flags) == -(-documents_ // 14) and max(flags) < 1 << 14
    alone = Ending(BOS, 99, 1, within=(4, 9)).cut(joined(texts([48, 49])))
    assert alone.side_bits == 2 * 7 + 2  # how many there are and how long the last is, too


def test_each_lane_is_told_its_own_flag_in_whatever_order():
    tokens_N = joined(texts())
    for longest_first in (False, True):
        for beside in (1, 3):
            how = Ending(BOS, len(tokens_N) - 1, beside, longest_first, (LEAST, MOST))
            cut = how.cut(tokens_N)
            tape = how.tape(cut.told)
            plain = [tape.plain(lane) for lane in range(len(LENGTHS))]
            assert plain == [not LEAST <= size + 1 <= MOST for size in cut.size_D]
            assert sum(plain) == len(PLAIN)


def test_other_flags_than_can_have_been_told_are_refused():
    how = Ending(BOS, 12, 2, within=(4, 9))
    good = (0, 3, 0, 1, 0b101)
    assert [how.tape(good).plain(lane) for lane in range(3)] == [True, False, True]
    for told in ((), good[:-1], (*good, 0), (*good[:-1], 0b1101), (*good[:-1], 1 << 14), (0, 15, 0, 1, 5), (9, 9)):
        with pytest.raises(ValueError, match="were told of lanes"):
            how.tape(told)
    with pytest.raises(ValueError, match="were told of lanes"):  # nor are so many set out in memory
        how.tape((1 << 40, 0, 0, 1, 0))
    with pytest.raises(ValueError, match="were told of lanes"):
        replace(how, within=None).tape(good)


def test_the_judge_works_the_flags_out_and_charges_for_them_whatever_is_said():
    tokens_N = joined(texts())
    said = {"token": BOS, "beside": 3, "longest_first": False, "within": [LEAST, MOST]}
    plain, telling = Telling(tokens_N), Telling(tokens_N)
    plain.open({"lane_starts": said | {"within": None}, "side_bits": 0.0})
    told = telling.open({"lane_starts": said, "side_bits": 0.0})
    assert telling.side_bits == plain.side_bits + len(LENGTHS)
    assert told.tolist()[4:] == [sum(1 << number for number in PLAIN)]
    agreed = plain.lane_starts, plain.side_bits
    with pytest.raises(Refused, match="unlike who scored"):  # a gate that was not there when it scored
        Telling(tokens_N, agreed).open({"lane_starts": said, "side_bits": 0.0})
    for within in ([3], ["a", 4], 7):
        with pytest.raises((TypeError, ValueError)):  # by which a sealed process is out of turn
            Telling(tokens_N).open({"lane_starts": said | {"within": within}, "side_bits": 0.0})


# --- one token after its row ----------------------------------------------------------------------------------------


def test_a_coder_that_is_told_each_token_after_its_row_gets_the_same_bits(model, tokens_N):
    rows = stopped(evaluator_of(model, tokens_N, gated()), tokens_N, ())
    stops = [0, 29, 30, 36, 60, 77, 100, 125]
    told = stopped(evaluator_of(model, tokens_N, gated()), tokens_N, stops)
    assert len(told) > len(stops) and all(np.array_equal(told[place], rows[place]) for place in told)


@pytest.mark.parametrize("order", ["stream", "longest_first"])
@pytest.mark.parametrize("beside", [1, 3])
def test_a_stream_comes_back_through_bytes_and_a_coded_file_with_its_flags(model, tokens_N, order, beside):
    evaluator = evaluator_of(model, tokens_N, gated(order=order, beside=beside))
    told = Informed(tokens_N, evaluator.plan.lane_starts).first_tokens
    body = encode(evaluator.fork(), tokens_N)
    nothing = bytes(PRINT_BYTES)
    file = CodedFile(nothing, nothing, "coded", 9, 9, body, len(tokens_N), tuple(told))
    back = read_coded(file.to_bytes())
    assert len(rows_print(evaluator.fork(), back.first_tokens)) == PRINT_BYTES
    assert np.array_equal(decode(evaluator.fork(), back.first_tokens, back.body), tokens_N[1:])
    other = [*told[:-1], told[-1] ^ 1]  # of the first document
    with contextlib.suppress(AssertionError, ValueError):  # that body may be none, by these rows
        assert not np.array_equal(decode(evaluator, other, body), tokens_N[1:])


@pytest.mark.parametrize("order", ["stream", "longest_first"])
def test_it_passes_the_audit_and_a_stretch_of_it_is_decoded(order):
    evaluation = network_evaluation(method=gated(30, None, 2, 16, 8, order), ttt=lora())
    tokens_N = stream_of(evaluation, TEXTS)
    sealed = pretend_sealed(evaluation, tokens_N)
    audit = pretend_audit(evaluation, tokens_N, sealed, places=20, stretch_tokens=12)
    assert audit.complete and audit.largest < 1e-5 and audit.planned >= 20
    decoding = pretend_decoding(evaluation, tokens_N, audit, place_I=sealed.place_I)
    assert decoding.decoded == 12


def test_what_is_told_counts_into_the_score():
    evaluation = network_evaluation(method=documents(2, 16, 8), ttt=lora())
    tokens_N = stream_of(evaluation, TEXTS)
    without, told = (
        score_stream(replace(evaluation, method=method), tokens_N, split="dev", subset=False)
        for method in (evaluation.method, gated(30, None, 2, 16, 8))
    )
    assert told.side_bits == without.side_bits + len(TEXTS)
    assert told.val_bpb == pytest.approx(told.claimed_bpb + told.side_bits / told.bytes, abs=1e-9)
    assert told.method == "documents_gated"


def test_text_is_made_up_as_by_any_other_plan():
    evaluation = network_evaluation(method=gated(30, None, 3, 16, 8), ttt=lora())
    assert sample_text(evaluation, "abc", 8, 0.0, seed=0).startswith("abc")


# --- settings -------------------------------------------------------------------------------------------------------


def test_a_maximum_below_the_minimum_is_a_config_error():
    with pytest.raises(ConfigError, match=r"eval\.max_document_tokens: 9 is less than eval\.min_document_tokens, 10"):
        gated(10, 9)
    gated(10, 10)


@pytest.mark.parametrize("words", [[], ["ttt=none"], ["ttt=ensemble"]])
def test_a_gate_that_nothing_heeds_is_refused_before_the_run(words):
    with pytest.raises(ConfigError, match="choose ttt=document_lora, or eval=documents"):
        check(tiny_settings("eval=documents_gated", *words))


def test_what_adapts_to_documents_heeds_it_also_in_an_ensemble():
    for words in (["ttt=document_lora"], ["ttt=ensemble", "ttt@ttt.of=document_lora"], ["ttt=document_phased"]):
        check(tiny_settings("eval=documents_gated", *words))


def test_the_preset_holds_the_published_numbers():
    found = node("eval", "pr687_documents", ["size=record"])
    numbers = ("window", "stride", "min_document_tokens", "max_document_tokens", "order")
    assert [found[name] for name in numbers] == [2048, 128, 256, None, "stream"]
    adapters = node("ttt", "pr687_documents", ["size=record"])
    assert [adapters[name] for name in ("chunk_tokens", "rank", "lr", "trains")] == [128, 8, 0.01, ["q", "v", "head"]]
    check(tiny_settings("eval=pr687_documents", "ttt=pr687_documents"))
