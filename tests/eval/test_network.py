import torch

from pgolf.eval.network import NetworkExpert
from tests.eval.fakes import Bigram


def test_log_probs_are_normalised_float32_of_the_kept_positions():
    logp = NetworkExpert(Bigram(7)).log_probs(torch.randint(7, (2, 5)), keep=3)
    assert logp.shape == (2, 3, 7)
    assert logp.dtype == torch.float32
    torch.testing.assert_close(logp.exp().sum(-1), torch.ones(2, 3))


def test_the_models_mode_is_put_back():
    model = Bigram(7).train()
    NetworkExpert(model).log_probs(torch.randint(7, (1, 5)), keep=1)
    assert model.training


def test_a_fork_has_its_own_weights():
    expert = NetworkExpert(Bigram(7))
    fork = expert.fork()
    with torch.no_grad():
        fork.model.table.zero_()
    assert expert.model.table.abs().sum() > 0
