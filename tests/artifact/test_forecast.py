"""The forecast of a submission: what it adds up, and how near it comes to what a run becomes."""

import pytest

from pgolf.artifact.forecast import Forecast, forecast, refuse_unreachable
from pgolf.core.errors import OverBudget
from pgolf.quant.target import COARSEST
from tests.helpers import tiny_model, tiny_settings

CODE = 40_000


def expected(weights=900.0, **changes):
    facts = {"bytes_code": 80, "bytes_tokenizer": 10, "cap_bytes": 1000, "counts_tokenizer": True}
    return Forecast({"w": weights}, **facts | changes)


def test_the_tokenizer_counts_where_the_budget_says_so():
    assert expected().bytes_total == 990
    assert expected(counts_tokenizer=False).bytes_total == 980
    assert str(expected()) == "990 of 1,000 bytes: weights 900 + code 80 + tokenizer 10"
    assert "tokenizer" not in str(expected(counts_tokenizer=False))


def test_packed_counts_have_a_part_of_their_own_and_leave_the_weights_less():
    assert str(expected(bytes_packed=5)) == "995 of 1,000 bytes: weights 900 + packed counts 5 + code 80 + tokenizer 10"
    words = ("quant=fitted_gptq", "quant.target_bytes=75000", "mixer=tree")
    plain = forecast(tiny_settings(*words, "ngram=none"), tiny_model(), CODE, None)
    packed = forecast(tiny_settings(*words, "ngram=packed", "ngram.packed_bytes=3000"), tiny_model(), CODE, None)
    assert plain.bytes_total - packed.bytes_total == pytest.approx(0, abs=50) and packed.bytes_packed == 3_000
    assert plain.bytes_weights - packed.bytes_weights == pytest.approx(3_000, abs=50)


def test_a_tokenizer_still_to_be_made_is_said_to_be_missing():
    text = "980 of 1,000 bytes: weights 900 + code 80, without the tokenizer"
    assert str(expected(bytes_tokenizer=None)) == text


def test_more_than_the_cap_is_said_before_training():
    over = expected(1_900.0)
    assert over.over_by == 990 and str(over).endswith("; 990 over the cap")
    assert "over" not in str(expected(921.0, k_factor=0.8))  # a byte of rounding: the size will be met


def test_it_is_held_against_what_became_of_it():
    assert expected().against(1_000) == "990 bytes, -1.0 % of the 1,000 it became"
    assert "at k times 0.5," in expected(k_factor=0.5).against(1_000)


@pytest.mark.parametrize("words", [("quant=int5_rtn", "compressor=brotli"), ("compressor=range",)], ids="+".join)
def test_the_tokenizer_is_exact_and_every_tensor_has_its_bytes(words):
    cfg, model = tiny_settings(*words), tiny_model()
    found = forecast(cfg, model, CODE, b"some tokenizer" * 50)
    assert found.bytes_code == CODE
    assert 0 < found.bytes_tokenizer < 14 * 50
    assert set(model.param_specs()) <= set(found.bytes_by_name)


def test_where_a_size_is_asked_for_it_is_foretold_by_the_k_that_it_takes():
    cfg, model = tiny_settings("quant=fitted_gptq", "quant.target_bytes=75000"), tiny_model()
    found = forecast(cfg, model, CODE, None)
    assert 74_950 < found.bytes_total <= 75_000 and 0.1 < found.k_factor < COARSEST
    coarser = forecast(cfg, model, CODE, None, k_factor=2 * found.k_factor)
    on_grid = sum(p.numel() for n, p in model.named_parameters() if p.ndim == 2 and "skip" not in n)
    assert found.bytes_total - coarser.bytes_total == pytest.approx(on_grid / 8, rel=0.1)  # a bit a weight


def test_a_size_that_no_grid_has_is_refused():
    cfg, model = tiny_settings("quant=fitted_gptq", "quant.target_bytes=43000"), tiny_model()
    with pytest.raises(OverBudget, match=r"43,000 asked for \(code alone [\d,]+\); nothing was trained"):
        refuse_unreachable(forecast(cfg, model, CODE, None))
    refuse_unreachable(expected(1_900.0))  # an ordinary quantizer may still be over its cap


def test_steps_that_do_not_follow_the_weights_are_said_to_rest_on_their_size():
    for words, rough in (
        (("quant=pr1026",), True),
        (("quant=gptq_lite",), False),
        (("quant=ternary",), False),
    ):
        assert (
            "bytes follow the size of the weights" in str(forecast(tiny_settings(*words), tiny_model(), CODE, None))
        ) is rough
