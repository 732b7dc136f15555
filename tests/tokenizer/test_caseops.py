"""Case factored out and put back: every text returns, every byte is counted once, whatever a model writes decodes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.core.errors import DataError
from pgolf.data.tiny import Tiny
from pgolf.tokenizer.blob import from_blob, pack
from pgolf.tokenizer.bpe import BPE
from pgolf.tokenizer.caseops import CaseOps
from pgolf.tokenizer.letter_case import ALLCAPS, CAPNEXT, CONTROLS, ESC, TITLE

TRICKY = [
    *("", " ", "I", "The THE the tHe", "iPhone NASA McDonald X-ray", "ÉA Éa", "A" * 50, "aAaAaA"),
    *(TITLE, ESC, CONTROLS * 3, ESC * 7 + "A" + ESC, f"{TITLE}a{ALLCAPS}b{CAPNEXT}c{ESC}d", ESC + "\n\n"),
    *(
        "\u2581",
        "A\u2581 B\u2581\u2581",
        "\x00X\x01\x7f",
        "<s>THE</s><0x41>",
        "é😀 e\u0301 \u200d\ufeff",
        "A\r\nB\n\n\nC ",
    ),
]
NUMBERS = {"character_coverage": 0.9995, "split_digits": False, "symbols": ["\n\n"], "train_bytes": 10**8}


def recipe(vocab_size=420, **changed):
    return CaseOps(vocab_size=vocab_size, **(NUMBERS | changed))


def texts():
    tiny = Tiny(document_count=20, document_bytes=1500, text_seed=0)
    return (text.upper() if index % 4 == 0 else text for index, (_, text) in enumerate(tiny.documents("train")))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return recipe().build(texts, tmp_path_factory.mktemp("cache"), "tiny")


def stream(tokenizer, *documents):
    return np.concatenate([[tokenizer.bos_id, *tokenizer.encode(text)] for text in documents]).astype(np.uint16)


def assert_returns(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.byte_lengths(stream(tokenizer, text)).sum() == len(text.encode())


@pytest.mark.parametrize("text", TRICKY)
def test_tricky_text_comes_back_with_every_byte_counted(tokenizer, text):
    assert_returns(tokenizer, text)


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(
        alphabet=st.one_of(
            st.sampled_from("aAbBtThHeE \n\u2581\r" + CONTROLS), st.characters(exclude_categories=["Cs"])
        )
    )
)
def test_every_text_comes_back_with_every_byte_counted(tokenizer, text):
    assert_returns(tokenizer, text)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_a_model_may_write_decodes_to_as_many_bytes_as_are_counted(tokenizer, data):
    """Any ids but byte tokens, whose bytes need not be characters; BOS, escapes and controls in any order."""
    likely = st.sampled_from([0, 1, 2, 3, 260, 261, 262, 263, 263, 263, 264])
    ids = data.draw(st.lists(st.one_of(likely, st.integers(260, tokenizer.vocab_size - 1)), max_size=30))
    counted = tokenizer.byte_lengths(np.array([1, *ids], dtype=np.uint16))
    assert counted.sum() == len(tokenizer.decode(ids).encode())


def test_bytes_of_a_stream_are_those_of_its_documents(tokenizer):
    documents = [*TRICKY, *texts()]
    total = tokenizer.byte_lengths(stream(tokenizer, *documents)).sum()
    assert total == sum(len(text.encode()) for text in documents)


def test_controls_are_tokens_of_their_own_and_words_share_their_pieces(tokenizer):
    of = lambda text: tokenizer.encode(text).tolist()  # noqa: E731
    assert of("the")[:0] + of("The") == [260, *of("the")] and of("THE") == [261, *of("the")]
    assert of("tHe")[1] == 262 and of(TITLE) == [263, 260] and of("\n\n") == [264]
    pieces = tokenizer.inner.pieces
    assert not any(set(piece) & set(CONTROLS) or piece != piece.lower() for piece in pieces)


def test_text_as_it_comes_only_grows(tokenizer):
    ids = tokenizer.encode("NASA The iPhone é ok")
    shown = [tokenizer.decode(ids[:count]).rstrip("\ufffd") for count in range(len(ids) + 1)]
    assert all(longer.startswith(shorter) for shorter, longer in itertools.pairwise(shown))


def test_blob_rebuilds_it_and_what_holds_another_is_refused(tokenizer):
    again = from_blob(tokenizer.to_blob())
    assert again.to_blob() == tokenizer.to_blob()
    assert (again.name, again.vocab_size, again.metric, again.bos_id) == ("caseops420", 420, "raw", 1)
    for text in [*TRICKY, *texts()]:
        assert (again.encode(text) == tokenizer.encode(text)).all()
    with pytest.raises(DataError, match="holds no byte-pair encoding"):
        from_blob(pack({"kind": "caseops", "name": "x"}, pack({"kind": "bytes"}, b"")))
    with pytest.raises(DataError, match="first symbols are not the controls"):
        from_blob(pack({"kind": "caseops", "name": "x"}, plain_bpe().to_blob()))


def plain_bpe():
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        return BPE(vocab_size=420, **NUMBERS).build(texts, folder, "tiny")


def test_training_is_repeatable_and_cached_apart_from_plain_bpe(tokenizer, tmp_path):
    first = recipe().build(texts, tmp_path, "tiny")
    assert first.to_blob() == tokenizer.to_blob()
    BPE(vocab_size=420, **NUMBERS).build(texts, tmp_path, "tiny")
    assert len(list((tmp_path / "tokenizers").iterdir())) == 2
    assert recipe().build(lambda: iter(()), tmp_path, "tiny").to_blob() == first.to_blob()


def test_symbols_that_no_transformed_text_has_and_lone_surrogates_are_refused(tokenizer):
    with pytest.raises(DataError, match="'The' never stands in a text whose case is factored out"):
        recipe(symbols=["The"])
    with pytest.raises(DataError, match="lone surrogate"):
        tokenizer.encode("a\ud801")
