"""The benchmark has a line for every loader and for the step, and takes them in turns."""

import json

import pytest

from pgolf.bench import loader as bench
from pgolf.cli.main import main
from tests.loader.orders import OPTIONS

SMALL = ["size=tiny", "tokenizer=bpe1024", "--tokens", "4000", "--shards", "3", "--rounds", "1"]


def test_every_loader_has_a_line_beside_the_training_step(capsys):
    assert main(["bench", "loader", *SMALL, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts["loaders"]) == set(OPTIONS) and facts["batch_tokens"] == 256
    for row in facts["loaders"].values():
        assert row["tokens_per_second"] == pytest.approx(256 * row["batches_per_second"])
        assert row["share_of_step"] * row["tokens_per_second"] == pytest.approx(facts["step_tokens_per_second"])


def test_actions_take_turns_after_a_round_of_warm_up():
    order = []
    found = bench.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b"] * 3 and {name: len(seconds) for name, seconds in found.items()} == {"a": 2, "b": 2}


def test_shards_are_equal_parts_and_too_little_text_is_refused(tmp_path, capsys):
    slices = bench.write_shards(tmp_path, 1001, 4, {"vocab_size": 300})
    assert [len(piece) for piece in slices] == [251, 250, 250, 250]
    assert main(["bench", "loader", "size=tiny", "tokenizer=bytes", "--tokens", "40", "--rounds", "1"]) == 2
    assert "tokens" in capsys.readouterr().err


def test_words_that_do_not_compose_are_refused(capsys):
    assert main(["bench", "loader", "size=tyny"]) == 2
    assert "Did you mean 'tiny'?" in capsys.readouterr().err
