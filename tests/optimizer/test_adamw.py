"""Every group steps as torch's AdamW does at that group's rate; the preset without decay is Adam."""

import torch

from pgolf.core.make import make
from pgolf.optimizer.grouped import partition
from tests.helpers import ids, tiny_model, tiny_settings


def after_two_steps(model, optimizer):
    for seed in range(2):
        optimizer.zero_grad()
        model.loss(ids(seed=seed), ids(seed=seed + 9)).backward()
        optimizer.step(*(() if isinstance(optimizer, torch.optim.Optimizer) else (1.0, 0.5)))
    return dict(model.named_parameters())


def test_each_group_is_torchs_adamw_at_its_rate():
    node = tiny_settings("optimizer=adamw")["optimizer"]
    ours, theirs = tiny_model(), tiny_model()
    groups = [
        {"params": members, "lr": node[f"{g}_lr"], "weight_decay": node[f"{g}_weight_decay"]}
        for g, members in partition(theirs).items()
        if members
    ]
    expected = after_two_steps(theirs, torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8))
    for name, p in after_two_steps(ours, make(node, model=ours)).items():
        assert torch.equal(p, expected[name]), name


def test_adam_is_adamw_without_decay():
    node = tiny_settings("optimizer=adam")["optimizer"]
    assert not any(value for key, value in node.items() if key.endswith("weight_decay"))
    assert node["_target_"] == tiny_settings("optimizer=adamw")["optimizer"]["_target_"]
