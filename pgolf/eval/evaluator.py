"""The evaluator: the only holder of targets, and the only one who decides when experts may learn.

Shapes: B windows, T positions, K kept positions, V vocabulary, N tokens of the stream, n of one chunk.

The stream comes chunk by chunk (``feed``). A chunk's positions are scored with the experts' state frozen at
the chunk's start; each score is written once; only then do the experts and the mixer see the chunk.
Token 0 is free. Scores are fp32 log-probabilities, negated and summed in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from pgolf.core.errors import ConfigError, DataError
from pgolf.core.process import one_kernel_thread
from pgolf.core.protocols import Expert, Mixer
from pgolf.core.threads import CoreShare, threaded
from pgolf.eval.slots import WriteOnce
from pgolf.eval.windows import Window, WindowPlan, batches

Tap = Callable[[tuple[Window, ...], "Tensor | None"], None]


class Evaluator:
    """Scores one stream of ``stream_tokens`` tokens. ``experts[0]`` is the network.

    ``workers`` batches of windows are scored side by side on a CPU, with equal results.

    ``tap``, where a probe sets it, is shown each batch's windows and full distribution ([B, K, V], None on the
    fused path) after the batch was scored. It is read by nothing else.
    """

    def __init__(
        self,
        experts: Sequence[Expert],
        mixer: Mixer,
        method: WindowPlan,
        *,
        stream_tokens: int,
        device: torch.device | str = "cpu",
        workers: int = 1,
    ) -> None:
        expected = getattr(mixer, "expects", None)
        if not experts or (expected is not None and len(experts) != expected):
            raise ConfigError(f"mixer: {type(mixer).__name__} cannot combine {len(experts)} experts")
        if stream_tokens < 2:
            raise DataError(f"a stream of {stream_tokens} tokens has nothing to score; two are the least")
        self.experts = list(experts)
        self.mixer = mixer
        self.method = method
        self.stream_tokens = stream_tokens
        self.device, self.workers = torch.device(device), workers
        self.slots = WriteOnce(stream_tokens - 1)
        self.tap: Tap | None = None
        self._seen = 0
        self._history = np.zeros(0, dtype=np.int64)
        self.core_share = CoreShare()

    @property
    def position(self) -> int:
        """The first position not yet due: positions before it have had their chunk."""
        return max(0, self._seen - 1)

    @property
    def next_feed(self) -> int:
        """How many tokens the next ``feed`` takes: one more for the first chunk, what is left for the last."""
        chunk = self.method.chunk_tokens + (self._seen == 0)
        return min(chunk, self.stream_tokens - self._seen)

    def feed(self, tokens_n: np.ndarray) -> np.ndarray:
        """Score the positions that ``tokens_n`` completes and let experts and mixer learn from them.

        Returns float64 nats per target. Raises ValueError for a chunk of the wrong length.
        """
        first, tokens_n = self.position, self._accept(tokens_n)
        last = self.position
        logps_target = self._score_chunk(first, last)
        for expert in self.experts:
            expert.observe(torch.from_numpy(tokens_n))
        self.mixer.observe(logps_target)
        return self.slots.nll_nats_N[first:last].copy()

    def skip(self, tokens_n: np.ndarray) -> None:
        """Move past a chunk without scoring it: experts observe it, the mixer does not.

        For probes that need the state at a later chunk, where the mixer has been seen not to learn.
        """
        tokens_n = self._accept(tokens_n)
        for expert in self.experts:
            expert.observe(torch.from_numpy(tokens_n))

    def load(self, tokens_n: np.ndarray) -> None:
        """Hold a chunk's tokens without scoring or showing them to anyone, so that probes can use ``inputs``."""
        self._accept(tokens_n)

    def score(self, inputs_BT: Tensor, targets_BK: Tensor) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """The one path that scores targets: the mixture's log-probabilities [B, K], each expert's, and the
        full distribution [B, K, V] (None where a lone expert's fused ``score`` was used).
        """
        keep = targets_BK.shape[1]
        fused = getattr(self.experts[0], "score", None)
        if fused is not None and len(self.experts) == 1:
            targets_BT = torch.cat([inputs_BT[:, 1:], targets_BK[:, -1:]], dim=1)
            targets_BT[:, -keep:] = targets_BK
            logp_BK = fused(inputs_BT, targets_BT, keep)
            return self.mixer.combine([logp_BK]), [logp_BK], None
        logps = [expert.log_probs(inputs_BT, keep) for expert in self.experts]
        logp_BKV = self.mixer.combine(logps)
        index = targets_BK.unsqueeze(-1)
        return (
            logp_BKV.gather(-1, index).squeeze(-1),
            [logp.gather(-1, index).squeeze(-1) for logp in logps],
            logp_BKV,
        )

    def distribution(self, inputs_BT: Tensor, keep: int) -> Tensor:
        """The whole mixture at the last ``keep`` positions, [B, keep, V]."""
        return self.mixer.combine([expert.log_probs(inputs_BT, keep) for expert in self.experts])

    def inputs(self, windows: Sequence[Window]) -> tuple[Tensor, Tensor]:
        """``inputs_BT`` and ``targets_BK`` of windows of one shape that lie in the tokens still held."""
        offset = self._seen - len(self._history)
        inputs_BT = np.stack([self._history[w.start - offset : w.stop - offset] for w in windows])
        targets_BK = np.stack([self._history[w.first_scored + 1 - offset : w.stop + 1 - offset] for w in windows])
        return torch.from_numpy(inputs_BT).to(self.device), torch.from_numpy(targets_BK).to(self.device)

    def fork(self) -> Evaluator:
        """An independent evaluator in the same state, without the tap."""
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.experts = [expert.fork() for expert in self.experts]
        copy.mixer = self.mixer.fork()
        copy.slots = self.slots.fork()
        copy.tap = None
        return copy

    def _accept(self, tokens_n: np.ndarray) -> np.ndarray:
        """Append the chunk to the tokens held and forget those no window of this chunk can reach."""
        if len(tokens_n) != self.next_feed or not len(tokens_n):
            raise ValueError(f"the next chunk has {self.next_feed} tokens, not {len(tokens_n)}")
        tokens_n = np.asarray(tokens_n).astype(np.int64)
        self._history = np.concatenate([self._history[-(self.method.window + 1) :], tokens_n])
        self._seen += len(tokens_n)
        return tokens_n

    def _score_chunk(self, first: int, last: int) -> list[Tensor]:
        """Score the chunk's windows, several batches side by side; returns each expert's log-probabilities.

        A batch depends on no other, since the experts' state is frozen; and on a CPU each has one kernel thread,
        so that its bits depend neither on how many there are nor on how many run at a time.
        """
        per_expert: list[list[Tensor]] = [[] for _ in self.experts]
        groups = list(batches(self.method.plan(first, last), self.method.batch_windows))
        with one_kernel_thread():
            done = threaded(self._score_batch, groups, self.workers if self.device.type == "cpu" else 1)
        for windows, (logp_BK, logps, logp_BKV) in zip(groups, done, strict=True):
            nll_nats_BK = -logp_BK.double().cpu().numpy()
            for window, nll_nats in zip(windows, nll_nats_BK, strict=True):
                self.slots.write(window.first_scored, nll_nats)
            for stored, logp in zip(per_expert, logps, strict=True):
                stored.append(logp.reshape(-1))
            if self.tap is not None:
                self.tap(windows, logp_BKV)
        return [torch.cat(stored) if stored else torch.empty(0) for stored in per_expert]

    def _score_batch(self, windows: tuple[Window, ...]) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """As ``score``; the full distribution, which is large, is kept only for a tap."""
        with torch.inference_mode(), self.core_share.counting():
            logp_BK, logps, logp_BKV = self.score(*self.inputs(windows))
        return logp_BK, logps, logp_BKV if self.tap is not None else None


def chunks_of(tokens_N: np.ndarray, chunk_tokens: int) -> Iterator[np.ndarray]:
    """The stream as ``feed`` takes it: the first chunk brings the free token along."""
    yield tokens_N[: chunk_tokens + 1]
    for start in range(chunk_tokens + 1, len(tokens_N), chunk_tokens):
        yield tokens_N[start : start + chunk_tokens]


def count_chunks(stream_tokens: int, chunk_tokens: int) -> int:
    """How many chunks a stream has."""
    return -(-(stream_tokens - 1) // chunk_tokens)
