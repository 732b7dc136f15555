"""Every published miscount is named with its document, and what agrees is left in peace."""

import dataclasses

import numpy as np
import pytest

from pgolf.core.errors import DataError
from pgolf.data.byte_audit import audit_bytes, document_bytes
from pgolf.data.dataset import Dataset, SplitFacts
from pgolf.data.shards import whole, write_shard
from pgolf.tokenizer.bytes import ByteTokenizer
from pgolf.tokenizer.letter_case import transform
from pgolf.tokenizer.model_proto import BYTE, CONTROL, NORMAL, UNKNOWN, write_model
from pgolf.tokenizer.published import PublishedTokenizer
from pgolf.tokenizer.published_caseops import PublishedCaseOpsTokenizer
from pgolf.tokenizer.recipe import BYTE_PIECES, CONTROL_PIECES
from tests.tokenizer.test_published_caseops import model as caseops_model

TEXTS = ["the cat", "café €5 the", "a cat the cat"]


def published():
    listed = [(piece, UNKNOWN if index == 3 else CONTROL, 0.0) for index, piece in enumerate(CONTROL_PIECES)]
    listed += [(piece, BYTE, 0.0) for piece in BYTE_PIECES]
    pieces = ["▁t", "he", "▁the", "at", "cat", "▁cat", *"▁thecaf5"]
    listed += [(piece, NORMAL, -float(rank)) for rank, piece in enumerate(dict.fromkeys(pieces))]
    return PublishedTokenizer(name="hand", model=write_model(listed))


def dataset(tmp_path, tokenizer, texts=TEXTS, carried=None):
    ids = [np.array([tokenizer.bos_id, *tokenizer.encode(text)], dtype=np.uint16) for text in texts]
    write_shard(tmp_path / "fineweb_val_000000.bin", np.concatenate(ids))
    sidecars = {}
    if carried is not None:
        write_shard(tmp_path / "fineweb_val_bytes_000000.bin", np.concatenate(carried))
        sidecars = {"val": whole([tmp_path / "fineweb_val_bytes_000000.bin"])}
    shards = {"val": whole([tmp_path / "fineweb_val_000000.bin"])}
    facts = {"val": SplitFacts(sum(map(len, ids)), len(texts), None)}
    return Dataset("x", tmp_path, shards, tokenizer, "", facts, sidecars)


def named(texts=TEXTS):
    return [(f"text {index}", text) for index, text in enumerate(texts)]


def faults(found):
    return {document.name: document.faults for document in found if document.faults}


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), published()], ids=["raw", "table"])
def test_counts_that_agree_have_no_faults(tmp_path, tokenizer):
    found = list(audit_bytes(dataset(tmp_path, tokenizer), "val", named()))
    assert not faults(found)
    assert [(d.name, d.counted, d.decoded, d.raw, d.sidecar) for d in found] == [
        (name, len(text.encode()), len(text.encode()), len(text.encode()), None) for name, text in named()
    ]


def miscounting(change):
    tokenizer = published()
    bytes_V, bound_V = tokenizer.table.bytes_V.copy(), tokenizer.table.bound_V.copy()
    change(tokenizer, bytes_V, bound_V)
    tokenizer.table = dataclasses.replace(tokenizer.table, bytes_V=bytes_V, bound_V=bound_V)
    return tokenizer


def spaces_twice(tokenizer, bytes_V, bound_V):
    bytes_V[tokenizer.table.lead_V] += 1


def byte_tokens_as(count):
    def change(tokenizer, bytes_V, bound_V):
        bytes_V[4:260] = count

    return change


def space_after_bos(tokenizer, bytes_V, bound_V):
    bound_V[tokenizer.bos_id] = False


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (spaces_twice, {"text 0": 1, "text 1": 2, "text 2": 3}),
        (byte_tokens_as(3), {"text 1": 10}),
        (byte_tokens_as(6), {"text 1": 25}),
    ],
    ids=["leading spaces twice", "byte tokens as U+FFFD", "byte tokens as <0x0A>"],
)
def test_published_miscounts_are_named_by_document_with_what_they_add(tmp_path, change, expected):
    found = faults(audit_bytes(dataset(tmp_path, miscounting(change)), "val", named()))
    assert found.keys() == expected.keys()
    for name, more in expected.items():
        assert f"(+{more})" in found[name][0], found


def test_small_integers_that_overflow_would_be_named(tmp_path):
    class Overflowing(ByteTokenizer):
        def byte_lengths(self, tokens_N):
            return super().byte_lengths(tokens_N).astype(np.int8).cumsum(dtype=np.int8)[-1:]

    found = faults(audit_bytes(dataset(tmp_path, Overflowing(), ["x" * 300]), "val"))
    assert "44 bytes are counted, its ids decode to 300 (-256)" in found["document 0"][0]


@pytest.fixture(scope="module")
def caseops():
    return PublishedCaseOpsTokenizer(name="caseops", model=caseops_model())


CASED = ["iPhone NASA The I", "  The é€ rest\nof it ", "I and 😀 NASA"]


def carried_by(tokenizer, count):
    return [np.array([0, *count(tokenizer, text)], dtype=np.uint16) for text in CASED]


def test_exact_sidecars_agree_and_normalisation_is_no_fault(tmp_path, caseops):
    carried = carried_by(caseops, lambda t, text: t.encode_with_bytes(text)[1])
    found = list(audit_bytes(dataset(tmp_path, caseops, CASED, carried), "val", named(CASED)))
    assert not faults(found)
    assert [d.sidecar for d in found] == [len(text.strip().encode()) for text in CASED]
    assert [d.normalised is None for d in found] == [True, False, True]
    assert "came back as" in found[1].normalised and found[1].decoded < found[1].raw


def by_piece_strings(tokenizer, text):
    """As the script of #1736: the text is cut by the length of the piece's name, six characters for a byte."""
    rest, found = transform(text), []
    for index in tokenizer.encode(text).tolist():
        length = len(tokenizer._processor.id_to_piece(index))
        found.append(sum(len(c.encode()) for c in rest[:length] if c not in "\ue001\ue002\ue003\ue004"))
        rest = rest[length:]
    return found


def of_the_transform(tokenizer, text):
    """The transformed text's bytes, controls and all."""
    carried = tokenizer.encode_with_bytes(text)[1].astype(int)
    return carried + 3 * np.isin(tokenizer.encode(text), tokenizer.control_ids)


@pytest.mark.parametrize("count", [by_piece_strings, of_the_transform])
def test_sidecars_that_drift_or_count_the_transform_are_named(tmp_path, caseops, count):
    found = faults(audit_bytes(dataset(tmp_path, caseops, CASED, carried_by(caseops, count)), "val", named(CASED)))
    assert set(found) >= {"text 1"} and "the sidecar has" in found["text 1"][0]


def test_bytes_given_to_a_bos_are_named(tmp_path, caseops):
    carried = carried_by(caseops, lambda t, text: t.encode_with_bytes(text)[1])
    carried[1][0] = 2
    found = faults(audit_bytes(dataset(tmp_path, caseops, CASED, carried), "val"))
    assert found == {"document 1": ("the sidecar gives its BOS 2 bytes",)}


def test_shards_of_another_text_are_named_at_the_place_they_differ(tmp_path):
    other = ["the cat", "the dog", "a cat the cat"]
    found = faults(
        audit_bytes(dataset(tmp_path, ByteTokenizer(), ["the cat", "the hog", *TEXTS[2:]]), "val", named(other))
    )
    assert found.keys() == {"text 1"}
    assert "from character 4 on, 'the dog' came back as 'the hog'" in found["text 1"][0]
    assert "encodes to other ids, from token 4 on" in found["text 1"][1]


def test_more_or_fewer_texts_than_documents_are_an_error_unless_the_list_goes_on_beyond_the_split(tmp_path):
    prepared = dataset(tmp_path, ByteTokenizer())
    with pytest.raises(DataError, match="text goes on after document 2"):
        list(audit_bytes(prepared, "val", named([*TEXTS, "more"])))
    with pytest.raises(DataError, match="the shards goes on after document 1"):
        list(audit_bytes(prepared, "val", named(TEXTS[:2])))
    assert len(list(audit_bytes(prepared, "val", named([*TEXTS, "more"]), every_text=False))) == 3


def test_sidecars_of_another_length_are_an_error(tmp_path):
    with pytest.raises(DataError, match="byte sidecars have 2 entries for"):
        list(audit_bytes(dataset(tmp_path, ByteTokenizer(), carried=[np.array([0, 1])]), "val"))


def test_what_a_leading_space_counts_after_bos_is_held_to_what_it_decodes_to():
    """sentencepiece strips a document's leading space in decoding: counting it would be a fault."""
    tokenizer = miscounting(space_after_bos)
    ids = np.array([1, tokenizer._processor.piece_to_id("▁the")], dtype=np.uint16)
    right = document_bytes(published(), "val", "x", ids, None, None)
    assert document_bytes(tokenizer, "val", "x", ids, None, None).counted == right.counted + 1
