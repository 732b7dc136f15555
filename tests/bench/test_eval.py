"""The bench of evaluation: a line for each measure, on what the words compose."""

import re

import numpy as np
import pytest
import torch

from pgolf.bench import eval as bench
from pgolf.cli.main import main

WORDS = ["size=tiny", "data=tiny", "tokenizer=bytes"]
SMALL = ["--text", "3000", "--rows", "300", "--rounds", "1"]


def lines(shown):
    """(measure, tokens, what) of each line."""
    return re.findall(r"^(\w+) +([\d,]+) +[\d.]+ +[\d,]+  (.+)$", shown, re.M)


def test_every_measure_has_a_line(capsys):
    assert main(["bench", "eval", *WORDS, "ttt=dynamic", *SMALL]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^adapt: [1-9][\d,]+ operations of matrix products a token, \d+ % of", shown, re.M)
    assert "vocabulary 260, text of 3,000 tokens; one thread, median of 1 rounds in turn" in shown
    assert lines(shown) == [
        ("network", "256", "scored by streaming"),
        ("adapt", "256", "scored by streaming, ttt=dynamic"),
        ("encode", "256", "encoded by streaming"),
        ("decode", "256", "decoded by streaming, token after token"),
        ("stages", "256", "whole rows of backoff + bucketed + Σp"),
        ("experts", "256", "whole rows of backoff + Σp"),
        ("price", "3,000", "targets alone through backoff + bucketed"),
        ("counts", "3,000", "targets alone through backoff"),
        ("dicts", "3,000", "targets alone through dictionaries keyed by bytes"),
        ("mixer", "3,000", "targets alone through bucketed, the experts' given"),
    ]
    assert {measure.name for measure in bench.MEASURES} == {name for name, _, _ in lines(shown)}


def test_words_choose_what_is_measured(capsys):
    words = [*WORDS, "eval=non_overlapping", "ngram.max_order=3", "+mixer.edges.entropy=[1]"]
    assert main(["bench", "eval", *words, *SMALL, "--only", "network", "--only", "stages"]) == 0
    shown = capsys.readouterr().out
    assert [line[0] for line in lines(shown)] == ["network", "stages"]
    assert lines(shown)[0][2] == "scored by non_overlapping" and "ngram.max_order=3" in shown


def test_what_cannot_be_measured_is_left_out_unless_it_is_asked_for(capsys):
    words = [*WORDS, "ngram=none", "mixer=tree"]
    assert main(["bench", "eval", *words, *SMALL]) == 0
    assert [line[0] for line in lines(capsys.readouterr().out)] == ["network", "encode", "decode", "stages", "price"]
    words = [*WORDS, "ngram=keep_better", "mixer=fixed"]
    assert main(["bench", "eval", *words, *SMALL, "--only", "counts"]) == 2
    assert "keep_better: makes whole rows only, and has no price for a single token" in capsys.readouterr().err


@pytest.mark.parametrize("ngram", ["strict", "backoff"])
def test_the_dictionaries_do_what_the_trie_does(ngram):
    given = bench.Given([*WORDS, f"ngram={ngram}"], 2000, 256)
    own_I, lane_I = np.full(2000, 1 / given.facts.vocab_size, dtype=np.float32), np.zeros(2000, dtype=np.int64)
    p_I = given.chain(given.experts).score(own_I, {}, lane_I, given.token_N)
    np.testing.assert_allclose(bench.DictPrices(given).prices(), p_I, rtol=1e-5, atol=1e-9)


def test_measures_begin_each_round_where_the_one_before_began():
    given = bench.Given(WORDS, 2000, 256)
    for measure in (bench.StageRows(given), bench.StagePrices(given)):
        for _ in range(2):
            measure.measure()
        learnt = measure.chain._states[0].size_4[3]
        assert learnt == (2000 - 256 if isinstance(measure, bench.StageRows) else 0)


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (["ngram=none", "mixer=none"], ["--only", "counts"], "ngram, mixer: nothing that could be measured"),
        (["ngram=rows", "mixer=hedge"], ["--only", "dicts"], "ngram=backoff or ngram=strict"),
        (["mixer=none"], ["--only", "price"], "mixer: none passes on the network's row and cannot combine it with 1"),
        (["ngram=backof"], [], "ngram: no 'backof' in conf/ngram. Did you mean 'backoff'?"),
        (["ngram.max_orde=2"], [], "ngram.max_orde: ngram takes"),
        (["ngram=none", "mixer=none"], ["--text", "3000000"], "--text: 3,000,000 tokens; the data's training text has"),
    ],
)
def test_what_cannot_be_measured_is_refused(words, options, message, capsys):
    assert main(["bench", "eval", *WORDS, *words, *SMALL, *options]) == 2
    assert message in capsys.readouterr().err


def test_operations_of_products_are_two_for_each_pair_of_factors():
    a, b = torch.randn(3, 5, requires_grad=True), torch.randn(5, 7)
    assert bench.products(lambda: a @ b) == 2 * 3 * 5 * 7
    assert bench.products(lambda: torch.autograd.grad((a @ b).sum(), a)) == 2 * 2 * 3 * 5 * 7
    with torch.inference_mode():
        assert bench.products(lambda: torch.nn.functional.linear(b.T, a)) == 2 * 3 * 5 * 7
