"""Small experts with known answers."""

import torch
import torch.nn.functional as F
from torch import nn


class Bigram(nn.Module):
    """Logits depend on the input token alone: easy to check by hand."""

    def __init__(self, vocab_size, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(torch.randn(vocab_size, vocab_size, generator=generator))

    def logits(self, ids_BT, keep=None):
        ids_BT = ids_BT if keep is None else ids_BT[:, -keep:]
        return self.table[ids_BT]


class History(nn.Module):
    """Logits depend on the sum of all inputs so far in the window: context is visible in the score."""

    def __init__(self, vocab_size):
        super().__init__()
        self.vocab_size = vocab_size
        self.scale = nn.Parameter(torch.tensor(1.0))

    def logits(self, ids_BT, keep=None):
        total_BT = ids_BT.cumsum(dim=1) % self.vocab_size
        logits_BTV = self.scale * F.one_hot(total_BT, self.vocab_size).float()
        return logits_BTV if keep is None else logits_BTV[:, -keep:]


class Counting:
    """An adaptive expert: add-one unigram counts of what it has observed."""

    def __init__(self, vocab_size):
        self.counts_V = torch.ones(vocab_size)
        self.observed = []

    def log_probs(self, inputs_BT, keep):
        p_V = self.counts_V / self.counts_V.sum()
        return p_V.log().expand(len(inputs_BT), keep, -1)

    def observe(self, tokens_N):
        self.observed.append(tokens_N.numpy().copy())
        self.counts_V = self.counts_V + torch.bincount(tokens_N, minlength=len(self.counts_V))

    def fork(self):
        copy = Counting(len(self.counts_V))
        copy.counts_V, copy.observed = self.counts_V.clone(), list(self.observed)
        return copy


class Average:
    """A mixer of any number of experts that counts what it was shown."""

    def __init__(self):
        self.shown = 0

    def combine(self, logps):
        return torch.stack(list(logps)).logsumexp(dim=0) - torch.tensor(float(len(logps))).log()

    def observe(self, logps_target):
        assert len({len(logp) for logp in logps_target}) == 1
        self.shown += len(logps_target[0])

    def fork(self):
        copy = Average()
        copy.shown = self.shown
        return copy
