import dataclasses
import io
from types import SimpleNamespace

import numpy as np
import pytest
import sentencepiece

from pgolf.eval.network import FixedNetwork
from pgolf.proof.cheats import by_name
from pgolf.proof.context import Context
from pgolf.proof.probes import coverage
from pgolf.proof.verdict import Verdict
from pgolf.tokenizer.bytes import ByteTokenizer
from pgolf.tokenizer.letter_case import CONTROLS, transform
from pgolf.tokenizer.published import Published, PublishedTokenizer
from pgolf.tokenizer.published_caseops import PublishedCaseOpsTokenizer
from tests.eval.fakes import Bigram
from tests.proof.making import DOCUMENTS, context_of, network_evaluation, stream_of
from tests.tokenizer.test_published import train
from tests.tokenizer.test_published_caseops import model as case_model

# Bytes do not depend on what predicts them.
BIGRAM = FixedNetwork(Bigram(ByteTokenizer().vocab_size))
CONTROL_BYTES = set(CONTROLS.encode())  # in none of the other characters of the ASCII texts here


def over_bytes(**changes):
    return network_evaluation(BIGRAM, **changes)


class Table(ByteTokenizer):
    metric = "table"
    extra = 0

    def byte_lengths(self, tokens_N):
        lengths = super().byte_lengths(tokens_N)
        lengths[: self.extra] += 1
        return lengths


def test_whole_documents_are_compared_with_their_text():
    result = coverage.probe(context_of(over_bytes()))
    assert result.passed, result.message
    size = sum(len(text.encode()) for text in DOCUMENTS)
    assert result.measured["counted_bytes"] == result.measured["raw_bytes"] == size
    assert result.measured["documents"] == 3


@pytest.mark.parametrize("cut", [2, 200, 237, 238, 239, 300, 460])
def test_a_stream_may_end_anywhere_even_inside_a_character(cut):
    result = coverage.probe(context_of(over_bytes(), cut=cut))
    assert result.passed, result.message


def test_without_the_text_bytes_are_held_to_the_decoded_tokens():
    context = dataclasses.replace(context_of(over_bytes()), documents=None)
    result = coverage.probe(context)
    assert result.passed, result.message
    assert result.measured["raw_bytes"] is None


def test_tokens_of_another_text_are_caught():
    context = context_of(over_bytes())
    other = [*DOCUMENTS[:2], DOCUMENTS[2].replace("nine", "none")]
    result = coverage.probe(dataclasses.replace(context, documents=other))
    assert "document 2: the tokens do not decode to its text" in result.message
    assert not result.passed


def test_unscored_targets_are_counted():
    context = context_of(over_bytes())
    nll_nats_N = context.sealed.nll_nats_N.copy()
    nll_nats_N[100:103] = np.nan
    result = coverage.probe(
        dataclasses.replace(context, sealed=dataclasses.replace(context.sealed, nll_nats_N=nll_nats_N)),
    )
    assert not result.passed
    assert "3 of" in result.message
    assert "position 100" in result.message


def test_table_profile_allows_a_little_and_no_more():
    evaluation = over_bytes(tokenizer=Table(), metric="table")
    assert coverage.probe(unaudited(evaluation)).passed
    for extra in (7, 40):  # 1 % and some 6 % of the bytes
        generous = Table()
        generous.extra = extra
        result = coverage.probe(unaudited(over_bytes(tokenizer=generous, metric="table")))
        assert not result.passed
        assert "the tokens decode to" in result.message


class Easier(Table):
    """Makes another text of it, of as many bytes."""

    def encode(self, text):
        return super().encode("".join("a" if letter.isascii() and letter.isalpha() else letter for letter in text))


def test_a_vocabulary_that_makes_an_easier_text_of_it_is_none():
    result = coverage.probe(unaudited(over_bytes(tokenizer=Easier(), metric="table")))
    assert not result.passed and "are others in what the tokens decode to" in result.message


def bold(character):
    """The mathematical form of an ASCII letter: four bytes, of which NFKC makes the letter again."""
    return chr(0x1D41A + ord(character.lower()) - ord("a"))


WORDS = (
    "The people of the island keep 7 boats on the sand, and of course they go on and on with their nets to the sea, "
    "as those of the other islands do. "
)
RULES = {
    "four bytes a letter": {letter: bold(letter) for letter in set(WORDS) if letter.isalpha()},
    "white space": {" ": " " * 9},
    "anagrams": {"on": "no", "of": "fo"},
    "one character of a hundred": {"7": "0"},
    "another white space": {" ": "\n"},
    "fewer characters": {"7": ""},
}


def model_of(tmp_path, rules=None, name="nmt_nfkc", clean=True, vocab_size=320):
    """A published model whose rule of normalisation is ``rules``, or the stock one of that name."""
    table = tmp_path / "rules.tsv"
    table.write_text("".join(f"{points(there)}\t{points(came)}\n" for there, came in (rules or {}).items()))
    rule = {"normalization_rule_tsv": str(table)} if rules else {"normalization_rule_name": name}
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([WORDS, WORDS.lower()] * 20), model_writer=out, vocab_size=vocab_size, model_type="bpe",
        byte_fallback=True, pad_id=0, bos_id=1, eos_id=2, unk_id=3, add_dummy_prefix=clean, required_chars="▁",
        remove_extra_whitespaces=clean, hard_vocab_limit=False, minloglevel=2, **rule,
    )  # fmt: skip
    return PublishedTokenizer(name="ours", model=out.getvalue())


def points(text):
    return " ".join(f"{ord(character):X}" for character in text)


def of_model(tokenizer, documents, cut=None):
    """What is said of the documents' bytes by that tokenizer."""
    evaluation = over_bytes(tokenizer=tokenizer, metric="table")
    tokens_N = stream_of(evaluation, documents)[:cut]
    verdict = Verdict("d", "bytes")
    carried_N = np.concatenate([[0], tokenizer.byte_lengths(tokens_N)])
    context = dataclasses.replace(bytes_only(evaluation, tokens_N), documents=documents)
    coverage._bytes_of_documents(context, verdict, carried_N)
    return verdict


@pytest.mark.parametrize("cut", [None, 200])
@pytest.mark.parametrize("kind", RULES)
def test_a_model_whose_rule_writes_another_text_is_refused(tmp_path, kind, cut):
    """At the byte counts of what it writes; case, order and white space are the text's."""
    tokenizer = model_of(tmp_path, RULES[kind], clean=False)
    verdict = of_model(tokenizer, [WORDS * 4, WORDS * 9], cut)
    assert any("are others in what the tokens decode to" in problem for problem in verdict.problems)


def test_a_model_that_takes_case_away_is_refused(tmp_path):
    verdict = of_model(model_of(tmp_path, name="nmt_nfkc_cf"), [WORDS * 8])
    assert any("are others in what the tokens decode to" in problem for problem in verdict.problems)


@pytest.mark.parametrize("name, clean", [("nmt_nfkc", True), ("nmt_nfkc", False), ("nfkc", True), ("identity", False)])
def test_published_rules_pass_wherever_the_stream_ends(tmp_path, name, clean):
    tokenizer = model_of(tmp_path, name=name, clean=clean)
    documents = ["Hello  world\n\nthe café … ", "ﬁne™ — e\u0301 日本語 🎈\x01 " + WORDS, " a\r\nb"]
    size = len(stream_of(over_bytes(tokenizer=tokenizer, metric="table"), documents))
    for cut in range(2, size + 1):
        verdict = of_model(tokenizer, documents, cut)
        assert not verdict.problems, (cut, verdict.problems)
    assert verdict.measured["raw_bytes"] == sum(len(text.encode()) for text in documents)
    assert verdict.measured["other_characters"] == 0


def test_a_vocabulary_of_factored_case_passes():
    tokenizer = PublishedCaseOpsTokenizer(name="caseops", model=case_model())
    verdict = of_model(tokenizer, ["The iPhone,  NASA\nand I", "½ of THE rest … it IS"])
    assert not verdict.problems and verdict.measured["other_characters"] == 0


def test_a_score_is_not_divided_by_more_bytes_than_the_text_has(tmp_path):
    """Even where a published rule makes more of it: of ½ it makes five bytes of two."""
    tokenizer = model_of(tmp_path)
    assert not of_model(tokenizer, [WORDS * 40 + "½"]).problems
    verdict = of_model(tokenizer, [WORDS + "½" * 20])
    assert "the raw text has" in verdict.problems[0]


def test_half_a_percent_more_bytes_are_too_many_by_the_table_too():
    evaluation = over_bytes(tokenizer=Table(), metric="table")
    honest = unaudited(evaluation, DOCUMENTS * 4)
    assert coverage.probe(honest).passed
    padded = unaudited(by_name("byte_padder").apply(evaluation), DOCUMENTS * 4)
    assert 1.004 < padded.reported.bytes / honest.reported.bytes < 1.005
    assert "the tokens decode to" in coverage.probe(padded).message


def test_the_bytes_of_a_published_vocabulary_are_those_of_its_decoded_tokens(tmp_path):
    """Of every prefix: the tolerance is for what a cut character decodes to."""
    tokenizer = Published(name="sp300", vocab_size=300, model_file=str(train(tmp_path))).build(
        lambda: iter(()), tmp_path, ""
    )
    evaluation = over_bytes(tokenizer=tokenizer, metric="table")
    texts = ["Hello  world\n\nthe café ½ costs 5 € …", " ﬁne™ — 日本語 🎈", "a"]
    tokens_N = stream_of(evaluation, texts)
    for size in range(3, len(tokens_N) + 1):
        verdict = Verdict("d", "bytes")
        carried_N = np.concatenate([[0], tokenizer.byte_lengths(tokens_N[:size])])
        coverage._bytes_of_documents(bytes_only(evaluation, tokens_N[:size]), verdict, carried_N)
        assert not verdict.problems, verdict.problems


def bytes_only(evaluation, tokens_N):
    """A context without scores."""
    return Context(evaluation, tokens_N, None, None, None, None, None, None)


def unaudited(evaluation, documents=DOCUMENTS):
    """A context whose rows nobody has looked at."""
    return context_of(evaluation, documents, audit=SimpleNamespace(complete=False))


def test_sidecar_bytes_are_the_text_without_case_controls():
    text = "The island, NASA and I keep our boats. " * 4
    transformed = transform(text)
    evaluation = over_bytes(tokenizer=Table(), metric="table")
    context = context_of(evaluation, documents=[transformed])
    assert len(transformed.encode()) > 1.1 * len(text)
    decoded = evaluation.tokenizer.byte_lengths(context.tokens_N)
    in_control = np.isin(np.frombuffer(transformed.encode(), np.uint8), list(CONTROL_BYTES))
    carried = np.where(in_control, 0, decoded)
    assert carried.sum() == len(text)
    reported = dataclasses.replace(context.reported, bytes=int(carried.sum()))
    with_sidecar = dataclasses.replace(context, reported=reported, target_bytes_N=carried)
    result = coverage.probe(with_sidecar)
    assert result.passed, result.message
    assert result.measured["bytes_from"] == "sidecar"
    assert not coverage.probe(dataclasses.replace(with_sidecar, reported=context.reported)).passed
    assert not coverage.probe(dataclasses.replace(context, reported=reported)).passed
