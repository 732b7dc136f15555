"""Matrix i on rank i mod W."""

import torch

from tests.optimizer.sharding import pair


def test_two_processes_train_as_one():
    pair.check_equal_to_one_process("index")


def test_both_end_with_the_same_bits():
    pair.check_replicas_have_the_same_bits("index")


def test_what_is_taken_up_goes_on_to_the_same_bits():
    pair.check_taken_up_to_the_bit("index")


def test_each_matrix_has_its_momentum_on_one_process():
    pair.check_each_matrix_has_its_momentum_once("index")


def test_one_process_has_the_bits_of_plain_muon():
    expected = pair.alone()["replicated"]["weights"]
    assert all(torch.equal(value, expected[name]) for name, value in pair.alone()["index"]["weights"].items())


def test_a_run_that_is_killed_goes_on_from_its_checkpoint_to_the_same_bits():
    pair.check_killed_and_taken_up_to_the_bit("index")
