"""``pgolf bench eval``: what evaluation costs a token, part by part: the network's windows, counts and mixer, prices.

Each line of the table is one measure, on the settings that the words of a command line compose. They take turns, round
by round, and a line shows the median. One thread; times are its CPU seconds, which other processes disturb little.

    network    the loop as it scores, without stages: the eval option's windows through a model of random weights
    adapt      the same while the ttt option adapts; with it, how much of a large matrix product's rate that is
    encode     what network does, each target written by its row as the text codec does
    decode     the same, each target read from what was written: one forward pass a token, as at an audited place
    stages     experts and mixer write whole rows for given rows of the network, and each is priced and summed, as in
               a scored stream; after the stages have learnt all of the text but its end
    experts    the same of the experts alone, whose last row is priced
    price      targets alone through experts and mixer, from the first token of the text on, no row written but those
               that a mixer reads
    counts     the same of the experts alone
    dicts      the same of ngram=strict or ngram=backoff by plain dictionaries, as pull request 1026 keeps its counts
    mixer      the mixer alone, targets alone, of given probabilities

A measure of what the words leave out, or of stages that can only make whole rows, is left out unless it is asked for.
The tokens are those of the data's training text: pieces of words, the commonest numbered as far as the vocabulary
goes, all others as one; so no tokenizer needs to be trained. To add a measure, add a class to ``MEASURES``.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pgolf.bench.figures import Reading
from pgolf.bench.rounds import Setting, on_threads, peak
from pgolf.core.command import at_least, guarded

if TYPE_CHECKING:
    import numpy as np

    from pgolf.core.prediction import Facts, ModelNetwork, Network, Stage
    from pgolf.eval.stage import Chain

WORDS = ("size=laptop", "ngram=backoff", "mixer=bucketed")
DECODED = 640  # tokens, one forward pass each
BLOCK = 128  # positions whose rows are made together
_PIECE = re.compile(r" ?\w{1,5}|\s|[^\w\s]")


def add_parser(subparsers: Any) -> None:
    """Add ``eval``; its handler is set as ``run``."""
    parser = subparsers.add_parser(
        "eval",
        help="what evaluation costs a token: windows, counts and mixer, prices alone",
        description=f"Times the parts of evaluation as composed by {' '.join(WORDS)} and further words.",
    )
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="of train.py's command line, such as ngram.max_order=5"
    )
    names = [measure.name for measure in MEASURES]
    parser.add_argument("--only", action="append", choices=names, help="may be given again (default: all measures)")
    parser.add_argument(
        "--text", type=at_least(1_000), default=262_144, help="tokens of text (default: %(default)s)", metavar="TOKENS"
    )
    parser.add_argument(
        "--rows", type=at_least(BLOCK), default=8_192, help="of them with whole rows (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=at_least(1), default=3, help="of each measure (default: %(default)s)")
    parser.set_defaults(run=guarded("bench eval", _run), open_list=("words", str))


def _run(arguments: argparse.Namespace) -> None:
    """Print the table. Raises ConfigError for words that do not compose or fit, DataError for too little text."""
    from pgolf.core.process import one_kernel_thread

    given = Given(arguments.words, arguments.text, arguments.rows)
    wanted = [
        measure
        for measure in MEASURES
        if (measure.name in arguments.only if arguments.only else measure.possible(given))
    ]
    with one_kernel_thread():
        found = timed([measure(given) for measure in wanted], arguments.rounds)
    print(f"{given.title}; one thread, median of {arguments.rounds} rounds in turn")
    print(f"{'measure':<9} {'tokens':>9} {'µs a token':>11} {'tokens/s':>11}  what")
    for measure in wanted:
        seconds, tokens = statistics.median(found[measure.name]), measure.tokens(given)
        rate, cost = tokens / seconds, 1e6 * seconds / tokens
        print(f"{measure.name:<9} {tokens:>9,} {cost:>11.2f} {rate:>11,.0f}  {measure.what(given)}")
    if NetworkAdapts in wanted:
        seconds = statistics.median(found[NetworkAdapts.name]) / NetworkAdapts.tokens(given)
        print(f"{NetworkAdapts.name}: {peak_share(given, seconds)}")


def session(setting: Setting) -> EvalSession:
    """Raises DataError where there is no text."""
    return EvalSession(setting)


class EvalSession:
    """Its part in the table of ``pgolf bench``: scoring, encoding and decoding by the network alone, one thread."""

    def __init__(self, setting: Setting) -> None:
        words = [*setting.text_words, "ngram=none", "mixer=none"]
        rows, decoded = (256, BLOCK) if setting.tiny else (2_048, 256)
        with on_threads(1):
            given, fewer = Given(words, rows, rows), Given(words, decoded, decoded)
            self.measures = {"network": NetworkScores(given), "encode": NetworkEncodes(given)}
            self.measures["decode"] = NetworkDecodes(fewer)
            self.tokens = {name: (fewer if name == "decode" else given).rows for name in self.measures}
            self.operations = {name: products(one.measure) / self.tokens[name] for name, one in self.measures.items()}
        self.size = {"words": words, "method": given.method, **{f"{name} tokens": n for name, n in self.tokens.items()}}

    def round(self) -> Sequence[Reading]:
        found, network = [], 0.0
        with on_threads(1) as now:
            rate = peak("fp32 products", now)
            for name, measure in self.measures.items():
                seconds, tokens = measure.measure(), self.tokens[name]
                each, least = seconds / tokens, self.operations[name] / rate
                network = network or each
                where = f"products at their peak {100 * least / each:.0f} %, all else the rest"
                if name == "encode":
                    where = f"scoring {100 * min(network / each, 1):.0f} %, writing the rest"
                found.append(Reading(name, 1 / each, "tokens/s", floor=1 / least, of="fp32 products", where=where))
        return found

    def close(self) -> None: ...


class Given:
    """What is measured on: settings, text, and rows as a network might give them."""

    def __init__(self, words: Sequence[str], text_tokens: int, rows: int) -> None:
        from pgolf.config.compose import checked
        from pgolf.core.prediction import Facts
        from pgolf.tokenizer.recipe import BOS_ID, vocab_size

        self.cfg: Mapping[str, Any] = checked([*WORDS, *words])
        self.words, self.text_tokens, self.rows = words, text_tokens, min(rows, text_tokens) // BLOCK * BLOCK
        self.facts: Facts = Facts(
            vocab_size(self.cfg["tokenizer"]), BOS_ID, text_tokens + 1, widths=lambda: self.widths
        )

    @cached_property
    def widths(self) -> Mapping[str, int]:
        """Of the vectors that the model of these words can be asked for."""
        import torch

        from pgolf.core.make import make
        from pgolf.eval.network import widths_of
        from pgolf.tokenizer.recipe import BOS_ID, vocab_size

        with torch.device("meta"):
            return widths_of(make(self.cfg["arch"], vocab_size=vocab_size(self.cfg["tokenizer"]), bos_id=BOS_ID))

    @property
    def title(self) -> str:
        said = f"{' '.join([*WORDS, *self.words])}; vocabulary {self.facts.vocab_size:,}"
        return f"{said}, text of {self.text_tokens:,} tokens"

    @property
    def method(self) -> str:
        """The eval option's word."""
        return str(self.cfg["eval"]["_target_"]).split(".")[-2]

    @cached_property
    def token_N(self) -> np.ndarray:
        """Raises DataError where the text is too short."""
        import numpy as np

        from pgolf.core.errors import DataError
        from pgolf.core.make import make

        texts = (text for _, text in make(self.cfg["data"]).documents("train"))
        pieces = list(islice((piece for text in texts for piece in _PIECE.findall(text)), self.text_tokens))
        if len(pieces) < self.text_tokens:
            raise DataError(f"--text: {self.text_tokens:,} tokens; the data's training text has {len(pieces):,}")
        commonest = Counter(pieces).most_common(self.facts.vocab_size - 1)
        number = {piece: index for index, (piece, _) in enumerate(commonest, start=1)}
        return np.array([number.get(piece, 0) for piece in pieces], dtype=np.int64)

    @cached_property
    def experts(self) -> list[Stage]:
        from pgolf.core.make import make

        return list(make(self.cfg["ngram"]).stages(self.facts))

    @cached_property
    def stages(self) -> list[Stage]:
        from pgolf.core.make import make
        from pgolf.core.prediction import in_turn

        mixer = make(self.cfg["mixer"]).stage(self.facts, len(self.experts))
        return [*self.experts, *in_turn(mixer)]

    @cached_property
    def own_KV(self) -> np.ndarray:
        """Rows for a block, float32."""
        import numpy as np

        logit_KV = np.random.default_rng(0).normal(0, 2, (BLOCK, self.facts.vocab_size))
        own_KV = np.exp(logit_KV)
        return (own_KV / own_KV.sum(-1, keepdims=True)).astype(np.float32)

    def chain(self, stages: Sequence[Stage]) -> Chain:
        """With room for the whole text. Raises ConfigError where there is no stage."""
        from pgolf.core.errors import ConfigError
        from pgolf.core.prediction import SIGNALS
        from pgolf.eval.stage import Chain

        chain = Chain(stages, [*SIGNALS, *self.widths])
        if not chain:
            raise ConfigError("ngram, mixer: nothing that could be measured; --only network")
        chain.reserve(self.text_tokens)
        return chain

    def signals(self, chain: Chain, count: int) -> dict[str, np.ndarray]:
        """The network's that the chain wants: numbers all of them 1, vectors random."""
        import numpy as np

        random = np.random.default_rng(0)
        return {
            name: random.standard_normal((count, self.widths[name]), dtype=np.float32)
            if name in self.widths
            else np.ones(count, dtype=np.float32)
            for name in chain.wanted
        }

    def priced(self, stages: Sequence[Stage], chain: Chain, start: int, stop: int) -> None:
        """Learn that part of the text by ``score``, in blocks with the network's rows where a stage takes those."""
        import numpy as np

        if all(stage.score is not None for stage in stages):
            own, step = np.full(stop - start, 1 / self.facts.vocab_size, dtype=np.float32), max(stop - start, 1)
        else:
            own, step = self.own_KV, BLOCK
        for first in range(start, stop, step):
            token_I = self.token_N[first : min(first + step, stop)]
            count = len(token_I)
            chain.score(own[:count], self.signals(chain, count), np.zeros(count, dtype=np.int64), token_I)


def _has_prices(stage: Stage) -> bool:
    return stage.score is not None or stage.price is not None


class NetworkScores:
    name: ClassVar[str] = "network"

    def __init__(self, given: Given) -> None:
        import numpy as np
        import torch

        from pgolf.core.make import make
        from pgolf.core.prediction import Facts
        from pgolf.eval.evaluator import Evaluator
        from pgolf.eval.network import FixedNetwork

        torch.manual_seed(0)
        about, tokens, method = given.facts, self.tokens(given), make(given.cfg["eval"])
        model = make(given.cfg["arch"], vocab_size=about.vocab_size, bos_id=about.bos_id)
        facts = Facts(about.vocab_size, about.bos_id, tokens + 1)
        network = self.adapting(given, FixedNetwork(model), facts)
        self.evaluator = Evaluator(network, method.plan(facts), facts)
        self.tokens_N = np.concatenate([[about.bos_id], given.token_N[:tokens]])

    @staticmethod
    def adapting(given: Given, network: ModelNetwork, facts: Facts) -> Network:
        """What scores, in which only the eval option has a part."""
        from pgolf.core.make import make

        return make(given.cfg["eval"]).network(network.fork(), facts)

    @classmethod
    def possible(cls, given: Given) -> bool:
        return True

    @staticmethod
    def tokens(given: Given) -> int:
        return given.rows

    @staticmethod
    def what(given: Given) -> str:
        return f"scored by {given.method}"

    def measure(self) -> float:
        from pgolf.eval.scorer import Scorer

        evaluator = self.evaluator.fork()
        scorer = Scorer(self.tokens_N, evaluator.plan.lane_starts)
        began = time.process_time()
        evaluator.run(scorer, scorer.first_tokens)
        return time.process_time() - began


class NetworkAdapts(NetworkScores):
    name: ClassVar[str] = "adapt"

    @staticmethod
    def adapting(given: Given, network: ModelNetwork, facts: Facts) -> Network:
        """Raises ConfigError for an adaptation that does not fit."""
        from pgolf.core.make import make
        from pgolf.eval.evaluation import weights_for

        ttt = make(given.cfg["ttt"])
        return ttt.wrap(make(given.cfg["eval"]).network(weights_for(ttt, network), facts), facts)

    @classmethod
    def possible(cls, given: Given) -> bool:
        return not str(given.cfg["ttt"]["_target_"]).endswith(".NoAdaptation")

    @staticmethod
    def what(given: Given) -> str:
        return f"scored by {given.method}, ttt={str(given.cfg['ttt']['_target_']).split('.')[-2]}"


def peak_share(given: Given, seconds: float) -> str:
    """The operations of the matrix products of a token that takes ``seconds``, beside those of one large product."""
    import torch

    side, best = 1024, float("inf")
    factor = torch.randn(side, side)
    for _ in range(5):
        began = time.process_time()
        factor @ factor
        best = min(best, time.process_time() - began)
    peak, operations = 2 * side**3 / best, products(NetworkAdapts(given).measure) / NetworkAdapts.tokens(given)
    share = 100 * operations / seconds / peak
    return (
        f"{operations:,.0f} operations of matrix products a token, {share:.0f} % of {peak:.2g} a second in a large one"
    )


def products(run: Callable[[], Any]) -> int:
    """Operations of matrix products and attention while it runs, in this thread."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counting(TorchDispatchMode):
        total = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            kwargs, count = kwargs or {}, flop_registry.get(func._overloadpacket)
            if count is None:
                with self:  # what it is made of, if it is
                    made = func.decompose(*args, **kwargs)
                if made is not NotImplemented:
                    return made
            out = func(*args, **kwargs)
            self.total += 0 if count is None else count(*args, **kwargs, out_val=out)
            return out

    with Counting() as counter:
        run()
    return counter.total


class NetworkEncodes(NetworkScores):
    name: ClassVar[str] = "encode"

    @staticmethod
    def what(given: Given) -> str:
        return f"encoded by {given.method}"

    def measure(self) -> float:
        from pgolf.proof.codec import encode

        evaluator = self.evaluator.fork()
        began = time.process_time()
        encode(evaluator, self.tokens_N)
        return time.process_time() - began


class NetworkDecodes(NetworkScores):
    name: ClassVar[str] = "decode"

    def __init__(self, given: Given) -> None:
        from pgolf.eval.coder import Informed
        from pgolf.proof.codec import encode

        super().__init__(given)
        self.first_tokens = Informed(self.tokens_N, self.evaluator.plan.lane_starts).first_tokens
        self.body = encode(self.evaluator.fork(), self.tokens_N)

    @staticmethod
    def tokens(given: Given) -> int:
        return min(given.rows, DECODED)

    @staticmethod
    def what(given: Given) -> str:
        return f"decoded by {given.method}, token after token"

    def measure(self) -> float:
        from pgolf.proof.codec import decode

        evaluator = self.evaluator.fork()
        began = time.process_time()
        decode(evaluator, self.first_tokens, self.body)
        return time.process_time() - began


class StageRows:
    name: ClassVar[str] = "stages"

    def __init__(self, given: Given) -> None:
        self.given = given
        self.chain = given.chain(self.part(given))
        learnt = given.text_tokens - given.rows
        if all(_has_prices(stage) for stage in self.part(given)):
            given.priced(self.part(given), self.chain, 0, learnt)
        else:
            self.rows(self.chain, 0, learnt)
        self.rows(self.chain.fork(), learnt, learnt + BLOCK)  # loads what is compiled

    @staticmethod
    def part(given: Given) -> Sequence[Stage]:
        return given.stages

    @classmethod
    def possible(cls, given: Given) -> bool:
        return bool(cls.part(given))

    @staticmethod
    def tokens(given: Given) -> int:
        return given.rows

    @staticmethod
    def what(given: Given) -> str:
        return "whole rows of " + " + ".join([*(stage.name for stage in given.stages), "Σp"])

    def rows(self, chain: Chain, start: int, stop: int) -> None:
        import numpy as np

        from pgolf.eval.coder import PlainRows

        given, lane_I = self.given, np.zeros(BLOCK, dtype=np.int64)
        for first in range(start, stop, BLOCK):
            token_I = given.token_N[first : min(first + BLOCK, stop)]
            count = len(token_I)
            chain.take(given.own_KV[:count], given.signals(chain, count), lane_I[:count], token_I)
            chain.drive(0, count)
            chain.finish()
            rows = PlainRows(chain.row_IV)
            rows.nll_nats(token_I)
            rows.sums()

    def measure(self) -> float:
        chain, stop = self.chain.fork(), self.given.text_tokens
        began = time.process_time()
        self.rows(chain, stop - self.given.rows, stop)
        return time.process_time() - began


class ExpertRows(StageRows):
    name: ClassVar[str] = "experts"

    @staticmethod
    def part(given: Given) -> Sequence[Stage]:
        return given.experts

    @staticmethod
    def what(given: Given) -> str:
        return "whole rows of " + " + ".join([*(stage.name for stage in given.experts), "Σp"])


class StagePrices:
    name: ClassVar[str] = "price"

    def __init__(self, given: Given) -> None:
        self.given = given
        self.chain = given.chain(self.part(given))
        given.priced(
            self.part(given), self.chain.fork(), 0, BLOCK
        )  # loads what is compiled; refuses a stage that cannot

    @staticmethod
    def part(given: Given) -> Sequence[Stage]:
        return given.stages

    @classmethod
    def possible(cls, given: Given) -> bool:
        return bool(cls.part(given)) and all(map(_has_prices, cls.part(given)))

    @staticmethod
    def tokens(given: Given) -> int:
        return given.text_tokens

    @staticmethod
    def what(given: Given) -> str:
        return "targets alone through " + " + ".join(stage.name for stage in given.stages)

    def measure(self) -> float:
        chain = self.chain.fork()
        began = time.process_time()
        self.given.priced(self.part(self.given), chain, 0, self.given.text_tokens)
        return time.process_time() - began


class ExpertPrices(StagePrices):
    name: ClassVar[str] = "counts"

    @staticmethod
    def part(given: Given) -> Sequence[Stage]:
        return given.experts

    @staticmethod
    def what(given: Given) -> str:
        return "targets alone through " + " + ".join(stage.name for stage in given.experts)


class DictPrices:
    """The counts of #1026, one dictionary for each order: the raw bytes of a context, in uint16, to {token: count, -1:
    total}. First what is known of the token is read, then it is counted, as there; the prices are the trie's."""

    name: ClassVar[str] = "dicts"

    def __init__(self, given: Given) -> None:
        from pgolf.core.errors import ConfigError

        self.given, self.node = given, given.cfg["ngram"]
        if not self.possible(given):
            raise ConfigError(
                "--only dicts: the same counts by dictionaries are those of ngram=backoff or ngram=strict"
            )

    @staticmethod
    def possible(given: Given) -> bool:
        return str(given.cfg["ngram"]["_target_"]).endswith((".Backoff", ".StrictBackoff"))

    @staticmethod
    def tokens(given: Given) -> int:
        return given.text_tokens

    @staticmethod
    def what(given: Given) -> str:
        return "targets alone through dictionaries keyed by bytes"

    def measure(self) -> float:
        began = time.process_time()
        self.prices()
        return time.process_time() - began

    def prices(self) -> list[float]:
        """Of all tokens of the text, the network having given each the same."""
        import numpy as np

        node, own = self.node, 1 / self.given.facts.vocab_size
        orders = range(node["min_order"], node["max_order"] + 1)
        priced = self._discounted if "discount" in node else self._strict
        caches: list[dict[bytes, dict[int, int]]] = [{} for _ in range(orders.stop)]
        raw, found = self.given.token_N.astype(np.uint16).tobytes(), []
        for i, token in enumerate(self.given.token_N.tolist()):
            found.append(priced(caches, orders, raw, i, token, own))
            for order in orders:
                if i < order - 1:
                    break
                context = raw[2 * (i - order + 1) : 2 * i]
                cache = caches[order]
                if context not in cache:
                    cache[context] = {-1: 0}
                counts = cache[context]
                counts[token] = counts.get(token, 0) + 1
                counts[-1] += 1
        return found

    def _strict(self, caches: Any, orders: range, raw: bytes, i: int, token: int, own: float) -> float:
        """The longest context that was seen decides."""
        for order in reversed(orders):
            if i < order - 1:
                continue
            counts = caches[order].get(raw[2 * (i - order + 1) : 2 * i])
            if counts is not None and counts[-1] >= self.node["min_total"]:
                alpha = self.node["alpha"]
                return (1 - alpha) * own + alpha * counts.get(token, 0) / counts[-1]
        return own

    def _discounted(self, caches: Any, orders: range, raw: bytes, i: int, token: int, own: float) -> float:
        """Each context that was seen, the shorter as the prior of the longer."""
        discount = self.node["discount"]
        for order in orders:
            if i < order - 1:
                break
            counts = caches[order].get(raw[2 * (i - order + 1) : 2 * i])
            if counts is None:
                break
            kept = discount * (len(counts) - 1) * own
            own = (max(counts.get(token, 0) - discount, 0) + kept) / counts[-1]
        return own


class GivenPrices(NamedTuple):
    """An expert's, one after another, for ``MixerPrices``."""

    p_I: Any
    place_1: Any


def no_row(state, lane, rows_EV, in_F, row_V, out_S):
    """Targets alone are measured."""


def no_learning(state, lane, rows_EV, in_F, token):
    """Nothing is learnt."""


def given_price(state, lane, p_E, in_F, token, out_S):
    """The next one; signals go round."""
    place = state.place_1[0]
    state.place_1[0] = place + 1
    for s in range(len(out_S)):
        out_S[s] = (place >> s) & 7
    return state.p_I[place]


class MixerPrices(StagePrices):
    name: ClassVar[str] = "mixer"

    @staticmethod
    def part(given: Given) -> Sequence[Stage]:
        import numpy as np

        from pgolf.core.prediction import Stage

        random, experts = np.random.default_rng(0), []
        for expert in given.experts:
            p_I = random.random(given.text_tokens, dtype=np.float32) + np.float32(1e-3)
            state = GivenPrices(p_I, np.zeros(1, dtype=np.int64))
            experts.append(Stage("given", no_row, no_learning, state, expert.signals, score=given_price))
        return [*experts, *given.stages[len(given.experts) :]]

    @classmethod
    def possible(cls, given: Given) -> bool:
        has_scores = all(stage.score is not None for stage in given.stages)
        return has_scores and len(given.stages) > len(given.experts) > 0

    @staticmethod
    def what(given: Given) -> str:
        mixers = " + ".join(stage.name for stage in given.stages[len(given.experts) :])
        return f"targets alone through {mixers}, the experts' given"


# ``name``, ``tokens(given)``, ``what(given)`` make its line, unasked if it is ``possible(given)``; made once,
# ``measure()`` gives the CPU seconds of a round.
MEASURES: tuple[Any, ...] = (
    NetworkScores,
    NetworkAdapts,
    NetworkEncodes,
    NetworkDecodes,
    StageRows,
    ExpertRows,
    StagePrices,
    ExpertPrices,
    DictPrices,
    MixerPrices,
)


def timed(measures: Sequence[Any], rounds: int) -> dict[str, list[float]]:
    """Seconds of each by name, in turns."""
    found: dict[str, list[float]] = {measure.name: [] for measure in measures}
    for _ in range(rounds):
        for measure in measures:
            found[measure.name].append(measure.measure())
    return found
