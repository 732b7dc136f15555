"""Banks of matrices, of which each process has a share."""

import torch

from pgolf.train.replicas import ALONE
from tests.optimizer.sharding import pair
from tests.ranks import Forked, replicas


def test_two_processes_train_as_one():
    pair.check_equal_to_one_process("banks")


def test_both_end_with_the_same_bits():
    pair.check_replicas_have_the_same_bits("banks")


def test_what_is_taken_up_goes_on_to_the_same_bits():
    pair.check_taken_up_to_the_bit("banks")


def test_each_matrix_has_its_momentum_on_one_process():
    pair.check_each_matrix_has_its_momentum_once("banks")


def test_one_process_has_the_bits_of_plain_muon():
    expected = pair.alone()["replicated"]["weights"]
    assert all(torch.equal(value, expected[name]) for name, value in pair.alone()["banks"]["weights"].items())


def test_without_a_reduce_scatter_the_sum_of_all_is_taken_apart(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("this backend does not support reduce_scatter")

    def both(found):
        whole = torch.arange(8.0).view(4, 2) * (1 + found.rank)
        with_it = found.share_of_mean(whole.clone())()
        monkeypatch.setattr("pgolf.train.group._reduce_scatter", refuse)
        return with_it, found.share_of_mean(whole.clone())(), found.all_shares(with_it)()

    first, second = Forked(both, tmp_path / "meeting", join=replicas(60.0)).answers()
    expected = torch.arange(8.0).view(4, 2) * 1.5
    for rank, (with_it, without, gathered) in enumerate((first, second)):
        assert torch.equal(with_it, expected[2 * rank : 2 * rank + 2]) and torch.equal(without, with_it)
        assert torch.equal(gathered, expected)


def gradients(found, clip=pair.CLIP):
    """Of a step, once they are averaged and clipped: this process's share of each bank, and the small tensors'."""
    trainer = pair.trainer_with("banks", found)
    trainer.plan = type(trainer.plan)(100.0, 5, trainer.plan.accumulation, clip, None)
    trainer.forward_backward()
    muon = trainer.optimizer.muon
    banked = {id(p) for bank in muon.banks() for p in bank.members}
    small = [p.grad for p in trainer.parameters if p.grad is not None and id(p) not in banked]
    return muon.sharding._shares or {bank.key: bank.gradients() for bank in muon.banks()}, small


def norm(banks, small):
    return torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in (*banks.values(), *small)]))


def test_the_clip_is_by_the_norm_of_all_shares_and_the_small_tensors(tmp_path):
    """Each process has other matrices: by a norm of its own each would be scaled otherwise."""
    assert norm(*gradients(ALONE, clip=None)) > 2 * pair.CLIP
    banks, small = gradients(ALONE)
    torch.testing.assert_close(norm(banks, small), torch.tensor(pair.CLIP), rtol=1e-4, atol=0)
    for rank, (shares, others) in enumerate(Forked(gradients, tmp_path / "meeting", join=replicas(60.0)).answers()):
        assert shares.keys() == banks.keys() and len(others) == len(small)
        for key, share in shares.items():
            expected = banks[key][rank * len(share) : (rank + 1) * len(share)]
            torch.testing.assert_close(share[: len(expected)], expected, rtol=1e-5, atol=1e-8)
            assert not share[len(expected) :].any(), "padding"
        for mine, expected in zip(others, small, strict=True):
            torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-8)


def test_a_run_that_is_killed_goes_on_from_its_checkpoint_to_the_same_bits():
    pair.check_killed_and_taken_up_to_the_bit("banks")
