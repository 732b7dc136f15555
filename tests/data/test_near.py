import numpy as np
import pytest

from pgolf.core.errors import DataError
from pgolf.data.near import MOST_SHARED, SHINGLE_WORDS, NearOverlap, shingles

RANDOM = np.random.default_rng(0)


def words(count=400):
    return [f"w{number}" for number in RANDOM.integers(0, 4096, count)]


def text(*parts):
    return " ".join(word for part in parts for word in part)


def test_shingles_are_the_runs_of_thirteen_words_each_once():
    some = words(100)
    runs = {tuple(some[start : start + SHINGLE_WORDS]) for start in range(100 - SHINGLE_WORDS + 1)}
    assert len(shingles(text(some))) == len(runs)
    assert set(shingles(text(some)).tolist()) <= set(shingles(text(some, some)).tolist())
    assert len(shingles(text(some[: SHINGLE_WORDS - 1]))) == 0 and len(shingles(text(some[:SHINGLE_WORDS]))) == 1


@pytest.mark.parametrize("place", range(SHINGLE_WORDS))
def test_every_word_of_a_run_counts(place):
    some = words(SHINGLE_WORDS)
    assert shingles(text(some)) != shingles(text(some[:place], ["other"], some[place + 1 :]))


def test_a_text_without_spaces_has_shingles_too():
    letters = "".join(chr(0x4E00 + number) for number in RANDOM.integers(0, 3000, 300))
    assert len(shingles(letters)) > 20


def test_shares_are_those_of_sets():
    held, training = [words() for _ in range(4)], [words() for _ in range(5)]
    training[1] = held[0][:300] + training[1]
    training[3] = training[3] + held[0][250:] + held[2][10:60]
    near = NearOverlap()
    for index, some in enumerate(held):
        near.hold("val", f"v{index}", text(some))
    for index, some in enumerate(training):
        near.see(f"t{index}", text(some))
    seen = set(np.concatenate([shingles(text(some)) for some in training]).tolist())
    expected = [np.mean([value in seen for value in shingles(text(some)).tolist()]) for some in held]
    np.testing.assert_allclose(near.shares(), expected)
    assert expected[1] == 0 < expected[2] < MOST_SHARED < expected[0]


def test_a_document_three_characters_longer_is_named_with_its_twin():
    near, original = NearOverlap(), text(words())
    near.hold("val", "original", original)
    near.hold("dev", "other", text(words()))
    near.see("some", text(words()))
    near.see("longer", original + " :-)")
    with pytest.raises(DataError, match=r"1 of 2 .* val 'original' shares 100%, most of it with train 'longer'"):
        near.require_none("data=text")


def test_held_documents_that_share_a_stretch_are_both_found():
    near, some = NearOverlap(), text(words())
    near.hold("val", "one", some)
    near.hold("dev", "two", some)
    near.see("twin", some)
    assert near.shares().tolist() == [1.0, 1.0]


def test_what_is_shared_below_the_limit_is_told_not_refused():
    near, some = NearOverlap(), words()
    near.hold("val", "one", text(some))
    near.see("some", text(some[:100]))
    assert 0 < near.require_none("data=text") < MOST_SHARED


def test_short_documents_and_empty_splits_break_nothing():
    assert NearOverlap().require_none("data=text") == 0.0
    near = NearOverlap()
    near.hold("val", "short", "a few words")
    near.see("short", "a few words")
    near.see("long", text(words(50)))
    assert near.require_none("data=text") == 0.0


def test_a_tolerance_lets_so_many_pass():
    near, twin = NearOverlap(), text(words())
    for index in range(9):
        near.hold("val", str(index), text(words()))
    near.hold("val", "twin", twin)
    near.see("twin", twin)
    assert near.require_none("data=web", tolerance=0.1) == 0.0
    with pytest.raises(DataError):
        near.require_none("data=web", tolerance=0.05)
