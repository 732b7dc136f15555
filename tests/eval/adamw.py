"""A network that adapts with torch's own AdamW: the plainest honest learner of its kind."""

import torch
import torch.nn.functional as F

from pgolf.eval.network import FixedNetwork
from pgolf.ttt.none import NoAdaptation


class Adapting(FixedNetwork):
    """One step on each batch after it is scored."""

    learns = True

    def __init__(self, model):
        super().__init__(model.requires_grad_(True))
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def observe(self, batch, tokens_BK):
        logits_BKV = self.model.logits(batch.inputs_BT, batch.keep)
        F.cross_entropy(logits_BKV.float().flatten(0, 1), tokens_BK.flatten()).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


class AdamW(NoAdaptation):
    """What a ``ttt`` technique is: ``wrap``."""

    def wrap(self, network, facts):
        return Adapting(network.model)
