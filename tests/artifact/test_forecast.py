"""The forecast of a submission: what it adds up, and how near it comes to what a run becomes."""

import pytest

from pgolf.artifact.bundle import make_bundle
from pgolf.artifact.forecast import Forecast, forecast
from tests.helpers import tiny_settings


def expected(**changes):
    facts = {
        "bytes_weights": 900,
        "bytes_code": 80,
        "bytes_tokenizer": 10,
        "cap_bytes": 1000,
        "counts_tokenizer": True,
        "target_bytes": None,
    }
    return Forecast(**facts | changes)


def test_the_tokenizer_counts_where_the_budget_says_so():
    assert expected().bytes_total == 990
    assert expected(counts_tokenizer=False).bytes_total == 980
    assert str(expected()) == "990 of 1,000 bytes: weights 900 + code 80 + tokenizer 10"
    assert "tokenizer" not in str(expected(counts_tokenizer=False))


def test_a_tokenizer_still_to_be_made_is_said_to_be_missing():
    assert (
        str(expected(bytes_tokenizer=None))
        == "980 of 1,000 bytes: weights 900 + code 80, without the tokenizer"
    )


def test_more_than_the_cap_is_said_before_training():
    over = expected(bytes_weights=1_900)
    assert over.over_by == 990 and str(over).endswith("; 990 over the cap")


def test_what_is_fitted_to_a_target_is_never_expected_over_the_cap():
    fitted = expected(bytes_weights=1_900, target_bytes=1000)
    assert fitted.over_by == 0 and str(fitted).endswith("before k is fitted to quant.target_bytes = 1,000")


@pytest.mark.parametrize("compressor", ["brotli", "range"])
def test_code_and_tokenizer_are_exact(compressor):
    cfg = tiny_settings(f"compressor={compressor}")
    found = forecast(cfg, 123, b"some tokenizer" * 50)
    assert found.bytes_code == len(make_bundle(cfg).script)
    assert 0 < found.bytes_tokenizer < 14 * 50 and found.bytes_weights == 123
