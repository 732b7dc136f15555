"""Unigram pieces: the most probable cut, and a blob that is damaged. What it shares with others: test_pieces."""

import pytest

from pgolf.core.errors import DataError
from pgolf.tokenizer.blob import from_blob, pack
from pgolf.tokenizer.unigram import Unigram
from tests.tokenizer.hard_texts import settings_for, texts


def recipe(vocab_size=400, **changed):
    return Unigram(**settings_for(vocab_size, **changed))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return recipe().build(texts, tmp_path_factory.mktemp("cache"), "tiny")


def test_a_text_is_cut_into_the_most_probable_pieces(tokenizer):
    """Held to a search over all cuts; two may be equally probable."""
    scores = {
        piece.replace("\u2581", " "): tokenizer.highest - tokenizer.step * int(level)
        for piece, level in zip(tokenizer.pieces, tokenizer.levels_V, strict=True)
    }
    longest = max(map(len, scores))
    for text in texts():
        line = max(text.split("\n"), key=len)
        best = [0.0]
        for end in range(1, len(line) + 1):
            last = [(start, line[start:end]) for start in range(max(0, end - longest), end)]
            best.append(max(best[start] + scores[piece] for start, piece in last if piece in scores))
        taken = [tokenizer.surfaces_V[index].decode() for index in tokenizer.encode(line)]
        assert sum(scores[piece] for piece in taken) == pytest.approx(best[-1], abs=1e-4)


def test_its_text_is_fewer_tokens_than_single_characters_would_be_and_symbols_are_one(tokenizer):
    joined = "".join(texts())
    assert len(tokenizer.encode(joined)) < 0.6 * len(joined)
    assert tokenizer.encode("\n\n").tolist() == [260]


def test_a_blob_cut_short_is_refused(tokenizer):
    header, _, body = tokenizer.to_blob().partition(b"\n")
    with pytest.raises(DataError, match="cut short"):
        from_blob(header + b"\n" + body[:300])
    with pytest.raises(DataError, match="damaged"):
        from_blob(pack({"kind": "unigram"}, body))


@pytest.mark.parametrize(
    "damage", [lambda body: body[:-5], lambda body: body + b"more", lambda body: body[:-1] + b"\xff"]
)
def test_a_blob_whose_pieces_are_not_those_of_its_lengths_is_refused(tokenizer, damage):
    header, _, body = tokenizer.to_blob().partition(b"\n")
    with pytest.raises(DataError, match="damaged"):
        from_blob(header + b"\n" + damage(body))
