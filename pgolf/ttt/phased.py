"""Adapters per document, and between documents a few phases in which the weights below them learn all that was scored.

Formula: as ``lora``; when ``⌊P·j/n⌋`` documents have ended, for j = 1 … n, the adapters go, the weights that
``phase_trains`` names take ``phase_epochs`` steps of descent with momentum (``pgolf.ttt.sgd``) on each chunk of the
text up to the last closing BOS, but the last chunk, from the first token on, the rate falling to 0 along half a cosine;
then adapters begin anew on the weights as they are now. P is ``documents``, n ``phases``.
Source: #1610 (one phase), #1626, #1736 … #1855 (three; P 2,000, later 2,500); spec ttt §5.
Here documents come in stream order, so that nothing has to be told to a decoder. The published ones sort all documents
by length, which costs their lengths or the order (about 0.0036 bits per byte, uncharged there), and drop the longest of
each phase's.
Bytes: 3.7 kB of code. In memory as ``lora``, and the text of the first P documents.
Time: as ``lora``, and per phase three forward passes over all text so far.
Measured, as for ``sgd``: 1.2519 in 35, where ``lora`` has 1.2518; only the first of its phases was reached there.
Hurts: as ``lora``; six phases or more overfit (published); what the weights learn from one document is worth 0.002 to
0.004 to the next where documents are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts, ModelNetwork, Network
from pgolf.core.ranges import Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pgolf.core.results import ParamSpec
from pgolf.ttt.chunks import Chunks, ChunkTrained, GradientAdaptation, LaneText
from pgolf.ttt.lora import LoRA
from pgolf.ttt.output import Output
from pgolf.ttt.rate import Rate
from pgolf.ttt.sgd import Momentum


class Phased(LoRA):
    """See the module."""

    def __init__(
        self,
        *,
        documents: PositiveInt,
        phases: PositiveInt,
        phase_trains: Sequence[str],
        phase_chunk_tokens: PositiveInt,
        phase_window: PositiveInt,
        phase_epochs: NonNegativeInt,
        phase_lr: NonNegativeFloat,
        phase_momentum: Fraction,
        phase_clip: PositiveFloat | None,
        chunk_tokens: PositiveInt,
        window: PositiveInt,
        epochs: NonNegativeInt,
        trains: Sequence[str],
        untie: bool,
        restart: bool,
        least_tokens: NonNegativeInt,
        byte_weighted: bool,
        rank: PositiveInt,
        alpha: PositiveFloat,
        lr: NonNegativeFloat,
        beta1: Fraction,
        beta2: Fraction,
        epsilon: PositiveFloat,
        weight_decay: NonNegativeFloat,
        clip: PositiveFloat | None,
        keep: Fraction,
        unadapted_expert: bool,
        temperature: PositiveFloat,
        temperature_per_token: bool,
    ) -> None:
        if not restart:
            raise ConfigError("ttt.restart: false does not look for documents, between which phased has its phases")
        super().__init__(
            chunk_tokens=chunk_tokens,
            window=window,
            epochs=epochs,
            trains=trains,
            untie=untie,
            restart=restart,
            least_tokens=least_tokens,
            byte_weighted=byte_weighted,
            rank=rank,
            alpha=alpha,
            lr=lr,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            clip=clip,
            keep=keep,
            unadapted_expert=unadapted_expert,
            temperature=temperature,
            temperature_per_token=temperature_per_token,
        )
        self.boundaries = tuple(documents * number // phases for number in range(1, phases + 1))
        self.phase = Descent(
            trains=phase_trains,
            chunk_tokens=phase_chunk_tokens,
            window=phase_window,
            epochs=phase_epochs,
            lr=phase_lr,
            momentum=phase_momentum,
            clip=phase_clip,
        )

    def trained(self, network: ModelNetwork, facts: Facts) -> Network:
        return PhaseTrained(network, facts, self)


class Descent(GradientAdaptation):
    """What happens in a phase. Raises ConfigError for chunks that windows do not fill."""

    def __init__(
        self,
        *,
        trains: Sequence[str],
        chunk_tokens: int,
        window: int,
        epochs: int,
        lr: float,
        momentum: float,
        clip: float | None,
    ) -> None:
        if chunk_tokens % window:
            raise ConfigError(f"ttt.phase_chunk_tokens: {chunk_tokens} is no multiple of ttt.phase_window, {window}")
        super().__init__(
            Chunks(chunk_tokens, window, epochs, trains, clip),
            Rate(lr, final=0.0, rise=1.0, rise_share=1.0),
            Output(keep=0.0, temperature=1.0, per_token=False),
            untie=False,
        )
        self.momentum = momentum

    def rule(self, specs: Sequence[ParamSpec]) -> Momentum:
        return Momentum(self.momentum)

    def learn(self, network: ModelNetwork, facts: Facts, text_N: torch.Tensor) -> None:
        """Take ``network`` through a text from its first chunk to the last but one."""
        facts = replace(facts, stream_tokens=len(text_N), lanes=1)
        trainer, lane = ChunkTrained(network, facts, self), LaneText(text_N.to(facts.device))
        for _ in range(-(-facts.targets // trainer.cadence) - 1):
            trainer._chunk(lane)


def reached(boundaries: Sequence[int], ended: int) -> int:
    """How many phases there have been by the time that so many documents have ended."""
    return sum(ended >= boundary for boundary in boundaries)


class PhaseTrained(ChunkTrained):
    """``text``: the tokens of the finished chunks, until the last phase; ``ended``: documents; ``phases``: done."""

    how: Phased

    def __init__(self, network: ModelNetwork, facts: Facts, how: Phased) -> None:
        super().__init__(network, facts, how)
        ChunkTrained(network, facts, how.phase)  # words that name nothing are refused now
        self.text = torch.zeros(0, dtype=torch.int64)
        self.ended = self.phases = 0

    def _chunk(self, lane: LaneText) -> None:
        if self.phases == len(self.how.boundaries):
            return super()._chunk(lane)
        first = lane.trained - lane.first
        token_N = lane.tokens[first : first + self.cadence + 1]
        self.text = torch.cat([self.text, token_N[:-1].cpu()])
        self.ended += int((token_N[1:] == self.facts.bos_id).sum())
        super()._chunk(lane)
        done, self.phases = self.phases, reached(self.how.boundaries, self.ended)
        if self.phases > done:
            self._phase(torch.cat([self.text, token_N[-1:].cpu()]))
        return None

    def _phase(self, text_N: torch.Tensor) -> None:
        """``text_N``: all that was scored, up to the chunk's last target."""
        self.restarted()
        whole = int((text_N == self.facts.bos_id).nonzero()[-1]) + 1
        self.how.phase.learn(self.network, self.facts, text_N[:whole])
        self.start = [weight.detach().clone() for weight in self.weights]
