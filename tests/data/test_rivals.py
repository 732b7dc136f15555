"""General-purpose compressors as marks: what a training text is worth to each, and that none is left out silently."""

import random

import pytest

from pgolf.data import rivals as module
from pgolf.data.rivals import missing, rivals


def words(seed, count):
    chosen = random.Random(seed)
    return " ".join(chosen.choice(VOCABULARY) for _ in range(count)).encode()


VOCABULARY = ["".join(random.Random(index).choices("abcdefghijklmnop", k=9)) for index in range(400)]


def test_a_text_that_was_read_before_costs_little_and_a_new_one_of_the_same_words_less_than_alone():
    training = words(1, 6_000)
    again = {rival.name: rival for rival in rivals(training, training[:20_000])}
    new = {rival.name: rival for rival in rivals(training, words(2, 1_000))}
    assert {"brotli 11", "zstd 22", "xz 9e"} <= set(new)
    for name, rival in again.items():
        assert rival.primed_bytes < 0.5 * rival.alone_bytes, name
        assert 0.2 * new[name].alone_bytes < new[name].primed_bytes < new[name].alone_bytes, name


@pytest.mark.skipif(bool(missing()), reason="needs pgolf[bench]")
def test_ppmd_reads_on_past_its_least_memory():
    """It would begin anew where its memory is full, and forget the training text."""
    training = random.Random(3).randbytes(400_000)
    assert all(rival.primed_bytes < 2_000 for rival in rivals(training, training[-20_000:]) if "ppmd" in rival.name)


def test_what_is_not_installed_is_named_and_left_out(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert missing() == ("ppmd order 6", "ppmd order 16")
    assert not {rival.name for rival in rivals(b"a" * 100, b"b")} & set(missing())
