from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.proof.published_text import differing, written_by_a_rule

FEW = st.text(alphabet="abc ", max_size=12)


def distance(there, came):
    """The whole table."""
    row = list(range(len(came) + 1))
    for number, left in enumerate(there, 1):
        above, row[0] = row[0], number
        for place, right in enumerate(came, 1):
            above, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, above + (left != right))
    return row[-1]


@settings(max_examples=300, deadline=None)
@given(there=FEW, came=FEW)
def test_differing_characters_are_the_least_edits(there, came):
    assert differing(there, came) == distance(there, came)


def test_a_text_that_is_all_another_costs_little_and_counts_whole():
    assert differing("a" * 30_000, "b" * 30_000) == 30_000
    assert differing("ab" * 15_000, "ba" * 15_000) == 2


def test_one_rule_holds_for_all_documents():
    assert written_by_a_rule(["a\nb", "c\nd"], ["a b", "c d"], 0).lost == 0
    assert written_by_a_rule(["a\nb", "c\nd"], ["a\nb", "c\nd"], 0).lost == 0
    assert written_by_a_rule(["a\nb", "c\nd"], ["a b", "c\nd"], 0) is None


def test_a_document_that_ends_early_has_the_raw_bytes_that_its_characters_were_written_for():
    def raw_bytes(came):
        return written_by_a_rule(["one  two\n\n½ €"], [came], 0).raw_bytes

    assert raw_bytes("one  two\n\n½ €") == 16
    assert [raw_bytes(came) for came in ("", "on", "one", "one t", "one two 1")] == [0, 2, 3, 6, 12]
    assert raw_bytes("one two 1⁄2 \ufffd") == 13


def test_only_the_last_document_may_end_early():
    assert written_by_a_rule(["one two", "three"], ["one two", "thr"], 0).lost == 0
    assert written_by_a_rule(["one two", "three"], ["one", "three"], 2) is None
