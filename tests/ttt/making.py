"""A small model that adapts, and the slow way of doing it: one window at a time, and torch's own optimizers.

Shapes: N tokens of the stream, V vocabulary, T inputs of a window, K of its positions that are kept.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F

from pgolf.core.make import make
from pgolf.core.prediction import Facts
from pgolf.eval.evaluation import check_cadence, weights_for
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork
from pgolf.eval.scorer import Scorer
from pgolf.eval.sliding import Sliding
from pgolf.eval.streaming import Streaming
from pgolf.ttt.selection import selected
from tests.eval.fakes import AllRows
from tests.helpers import BOS, VOCAB, randomise, tiny_model, tiny_settings

WINDOW, STRIDE, BLOCK = 48, 16, 32
PLAIN = {"chunk_tokens": 32, "window": 32, "epochs": 2, "lr": 0.1, "final_lr": 0.5, "momentum": 0.5, "clip": 1.0}


def adaptation(option, **changes):
    """As composed at ``size=tiny``, with these settings."""
    return make({**tiny_settings(f"ttt={option}")["ttt"], **changes})


def sgd(**changes):
    return adaptation("sgd", **PLAIN | changes)


def made(*words):
    model = tiny_model(*words).eval().requires_grad_(False)
    randomise(model)
    return model


def stream(tokens, seed=0):
    """Random tokens with repetitions, so that there is something to learn."""
    random = np.random.default_rng(seed)
    return random.choice(random.integers(1, VOCAB, 12), tokens).astype(np.uint16)


def byte_lengths(tokens_N):
    """Some."""
    return np.where(tokens_N[1:] == BOS, 0, tokens_N[1:] % 4 + 1)


def evaluator_of(model, tokens_N, ttt, plan=None, batch=3, workers=1, method="sliding", lanes=1):
    """``batch``: windows, or blocks of 32, at a time."""
    facts = Facts(VOCAB, BOS, len(tokens_N), workers=workers, lanes=lanes, byte_lengths=byte_lengths)
    if method == "sliding":
        made = Sliding(window=WINDOW, stride=STRIDE, batch_windows=batch, lanes=lanes, official_truncation=False)
    else:
        made = Streaming(window=WINDOW, block=BLOCK, batch_blocks=batch, lanes=lanes, official_truncation=False)
    network = ttt.wrap(made.network(weights_for(ttt, FixedNetwork(model)), facts), facts)
    check_cadence(made, network)
    return Evaluator(network, plan or made.plan(facts), facts)


def run(evaluator, coder):
    evaluator.run(coder, coder.first_tokens)
    return coder


def scored(model, tokens_N, ttt, **how):
    evaluator = evaluator_of(model, tokens_N, ttt, **how)
    return run(evaluator, Scorer(tokens_N, evaluator.plan.lane_starts)).nll_nats.values_N


def rows_of(evaluator, tokens_N, stops=(), kind=AllRows):
    """By place: those that are shown, the stops among them; and the weights that are left."""
    coder = run(evaluator, kind(tokens_N, stops, evaluator.plan.lane_starts))
    weights = [weight.clone() for weight in evaluator.network.network.model.parameters()]
    assert coder.row.keys() >= set(stops)
    return coder.row, weights


def same(some, whole):
    (rows, weights), (others, other_weights) = some, whole
    equal = [np.array_equal(row_V, others[place]) for place, row_V in rows.items()]
    return all(equal) and all(map(torch.equal, weights, other_weights))


def by_hand(model, tokens_N, ttt, optimizer_of):
    """Prices of the targets: score a chunk by windows of the evaluation, then train on it in windows of its own."""
    chunks, output, targets = ttt.chunks, ttt.output, len(tokens_N) - 1
    frozen, model = model, copy.deepcopy(model).requires_grad_(False)
    bytes_N = byte_lengths(tokens_N)
    tokens_N = torch.from_numpy(tokens_N.astype(np.int64))
    named = dict(model.named_parameters())
    weights = [named[name].requires_grad_(True) for name in selected(model.param_specs(), chunks.trains)]
    start, average = ([weight.detach().clone() for weight in weights] for _ in range(2))
    optimizer, nll_nats, trained, place = optimizer_of(weights), [], 0, 0
    while place < targets:
        context, stop = max(0, place - WINDOW + STRIDE), min(targets, place + STRIDE if place else WINDOW)
        raw = [weight.detach().clone() for weight in weights]
        put(weights, raw if chunks.average is None else average)
        row_KV = rows_by_hand(model, frozen, tokens_N[None, context:stop], stop - place, output)
        put(weights, raw)
        nll_nats += (-row_KV.log().gather(-1, tokens_N[place + 1 : stop + 1, None])).flatten().tolist()
        while (trained + 1) * chunks.chunk_tokens <= stop < targets:
            first, last = trained * chunks.chunk_tokens, (trained + 1) * chunks.chunk_tokens
            worth_N = torch.ones(last - first)
            begins = [n for n in range(last - first) if tokens_N[first + 1 + n] == BOS] if chunks.restart else []
            if begins:
                put(weights, start)
                average = [weight.clone() for weight in start]
                optimizer = optimizer_of(weights)
                worth_N[: begins[-1] + 1] = 0
            if chunks.byte_weighted:
                worth_N *= torch.from_numpy(bytes_N[first:last])
            for group in optimizer.param_groups:
                group["lr"] = ttt.rate.at(trained, -(-targets // chunks.chunk_tokens))
            for _ in range(chunks.epochs if worth_N.any() else 0):
                optimizer.zero_grad()
                if chunks.chunk_tokens >= chunks.window:
                    logits_BTV = model.logits(tokens_N[first:last].view(-1, chunks.window))
                else:
                    context = max(0, last - chunks.window)
                    logits_BTV = model.logits(tokens_N[None, context:last], chunks.chunk_tokens)
                nll_N = F.cross_entropy(logits_BTV.flatten(0, 1), tokens_N[first + 1 : last + 1], reduction="none")
                ((nll_N * worth_N).sum() / worth_N.sum()).backward()
                if chunks.clip is not None:
                    torch.nn.utils.clip_grad_norm_(weights, chunks.clip)
                optimizer.step()
                with torch.no_grad():
                    for weight, origin in zip(weights, start, strict=True):
                        weight.mul_(1 - chunks.pull).add_(origin, alpha=chunks.pull)
                    for mean, weight in zip(average, weights, strict=True):
                        mean.mul_(chunks.average or 0).add_(weight, alpha=1 - (chunks.average or 0))
            trained += 1
        place = stop
    return np.array(nll_nats)


@torch.no_grad()
def put(weights, values):
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)


@torch.no_grad()
def rows_by_hand(model, frozen, input_1T, keep, output):
    logits_KV, row_KV = model.logits(input_1T, keep)[0], []
    for logits_V in logits_KV:
        p_V, temperature = logits_V.softmax(-1), output.temperature
        if output.per_token:
            entropy = -(p_V * p_V.log()).sum()
            temperature = min(1.05, max(0.9, 1 - (1 - temperature) * (1 - float(entropy) / np.log(len(p_V)))))
        row_KV.append((logits_V / temperature).softmax(-1))
    return (1 - output.keep) * torch.stack(row_KV) + output.keep * frozen.logits(input_1T, keep)[0].softmax(-1)
