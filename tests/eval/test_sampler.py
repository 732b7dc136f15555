import numpy as np
import pytest

from pgolf.core.prediction import Span
from pgolf.eval.sampler import Sampler, Voice, sample_text
from pgolf.eval.sliding import Sliding
from pgolf.tokenizer.bytes import ByteTokenizer
from tests.eval.stages import counts, mean
from tests.proof.making import network_evaluation

ROW_V = np.array([0.5, 0.25, 0.25, 0.0], dtype=np.float32)


def drawn(temperature, count=4_000, seed=0):
    sampler = Sampler(np.zeros(0), temperature, seed)
    return np.bincount([sampler.draw(0, ROW_V) for _ in range(count)], minlength=4) / count


def test_tokens_come_as_often_as_their_row_says():
    np.testing.assert_allclose(drawn(1.0), ROW_V, atol=0.03)


def test_below_one_the_likely_becomes_likelier_and_at_zero_certain():
    np.testing.assert_allclose(drawn(0.5), np.array([4, 1, 1, 0]) / 6, atol=0.03)
    assert drawn(0.0, 50).tolist() == [1, 0, 0, 0]
    np.testing.assert_allclose(drawn(100.0), np.array([1, 1, 1, 0]) / 3, atol=0.03)


def test_a_temperature_below_zero_is_none():
    with pytest.raises(ValueError, match="below 0"):
        Sampler(np.zeros(0), -0.1, 0)


def test_the_prompt_stands_and_nothing_after_it_is_known():
    sampler = Sampler(np.array([7, 8, 9]), 1.0, 0)
    assert sampler.known(Span(0, 0, 0, 8)).tolist() == [7, 8, 9]
    assert sampler.known(Span(0, 0, 2, 8)).tolist() == [9] and len(sampler.known(Span(0, 2, 4, 8))) == 0


@pytest.mark.parametrize("stages", [{}, {"ngram": counts(), "mixer": mean()}], ids=["network", "with counts"])
def test_a_text_begins_with_its_prompt_and_a_seed_repeats_it(stages):
    evaluation = network_evaluation(**stages)
    one = sample_text(evaluation, "The people", 40, 0.8, seed=1)
    assert one.startswith("The people") and len(one) > len("The people")
    assert one == sample_text(evaluation, "The people", 40, 0.8, seed=1)
    assert one != sample_text(evaluation, "The people", 40, 0.8, seed=2)


def test_a_text_is_made_up_in_one_lane_whatever_the_plan_has():
    method = Sliding(window=32, stride=8, batch_windows=4, lanes=2, official_truncation=False)
    one = network_evaluation(method=Sliding(window=32, stride=8, batch_windows=4, lanes=1, official_truncation=False))
    several = network_evaluation(method=method)
    assert sample_text(several, "The", 20, 1.0, seed=0) == sample_text(one, "The", 20, 1.0, seed=0)
    assert method.lanes == 2


def test_progress_is_told_of_every_token_that_is_drawn():
    told = []
    sample_text(network_evaluation(), "The people", 40, 1.0, seed=0, progress=lambda *what: told.append(what))
    assert told == [("sample", done, 40) for done in range(1, 41)]


def test_text_comes_as_soon_as_its_characters_are_whole_and_adds_up_to_all_of_it():
    tokenizer, pieces = ByteTokenizer(), []
    voice = Voice(tokenizer, pieces.append)
    broken = [4 + 0xC3, 4 + ord("x"), tokenizer.bos_id, 4 + 0xE2, 4 + 0x82]
    for token in [*tokenizer.encode("né€").tolist(), *broken]:
        voice.hear([token])
    assert pieces == ["n", "é", "€", "\ufffdx", "\n\n"]
    voice.close()
    assert "".join(pieces) == voice.text == "né€\ufffdx\n\n\ufffd"


def test_a_sample_is_written_token_by_token_the_prompt_first():
    pieces = []
    text = sample_text(network_evaluation(), "The people", 40, 1.0, seed=0, write=pieces.append)
    assert "".join(pieces) == text and pieces[0] == "The people" and len(pieces) > 10
