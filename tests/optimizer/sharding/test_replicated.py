"""Every process computes everything."""

from tests.optimizer.sharding import pair


def test_two_processes_train_as_one():
    pair.check_equal_to_one_process("replicated")


def test_both_end_with_the_same_bits():
    pair.check_replicas_have_the_same_bits("replicated")


def test_what_is_taken_up_goes_on_to_the_same_bits():
    pair.check_taken_up_to_the_bit("replicated")


def test_a_run_that_is_killed_goes_on_from_its_checkpoint_to_the_same_bits():
    pair.check_killed_and_taken_up_to_the_bit("replicated")
