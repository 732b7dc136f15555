"""Is it better than a record? Welch's test in bits per byte and nats per token, with and without the margin, in words.

The challenge's rule is in nats per token: 0.005 better, at p < 0.01. Nats per token of two vocabularies are no common
unit; there, bits per byte are turned into nats per token of the reference's vocabulary. Most merged records miss the
rule; later ones were accepted one after another at a one-sided p < 0.25. Both verdicts are given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pgolf.report.entry import ScoredText
from pgolf.report.experiments import Experiment
from pgolf.report.statistics import Sample, TTest, one_sample, welch
from pgolf.report.table import Table, number, probability, signed

MARGIN_NATS, RULE_P, PRACTICE_P = 0.005, 0.01, 0.25
LEAST_SEEDS = 3  # on a side, for a verdict; what two show rests on a deviation of one difference
_SAME_VOCABULARY = 1e-4  # relative, of bytes per token: published numbers have four digits and more


@dataclass(frozen=True, slots=True)
class Reference:
    """What is compared with. ``exact``: one number, of which no deviation is known. ``published``: a claim on FineWeb's
    validation text, so far as it goes; ``scored``: on what, where that is known."""

    label: str
    bpb: Sample
    loss: Sample | None = None
    bytes_per_token: float | None = None
    scored: ScoredText | None = None
    exact: bool = False
    published: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """``verdict``: one word or two for a machine, ``sentence`` for a person."""

    table: Table
    verdict: str
    sentence: str


def reference_of(experiment: Experiment, label: str) -> Reference | None:
    """None for an experiment without a mean."""
    if experiment.bpb is None:
        return None
    run = experiment.counted[0]
    return Reference(
        label,
        experiment.bpb,
        experiment.loss,
        run.bytes_per_token,
        run.scored,
        published=experiment.claimed and run.scored is None,
        notes=(f"{len(experiment.runs)} runs, {len(experiment.counted)} counted",),
    )


def compared(ours: Experiment, theirs: Reference) -> Comparison:
    """``ours`` against ``theirs``. Where no verdict is possible it reads ``not shown``, with the reason."""
    title = f"{ours.name} against {theirs.label}"
    if ours.bpb is None:
        return _without(title, ours.refusal or "no score of ours counts")
    first = ours.counted[0]
    apart = _texts_apart(first.scored, theirs)
    if apart:
        return _without(title, apart)
    unit, mine, other, notes = _in_nats(ours, theirs)
    tests = {"bits per byte": (ours.bpb, theirs.bpb, 0.0)}
    if mine is not None and other is not None:
        tests |= {unit: (mine, other, 0.0), f"{unit}, better by {MARGIN_NATS:g}": (mine, other, MARGIN_NATS)}
    found = {
        name: one_sample(a, b.mean, margin) if theirs.exact else welch(a, b, margin)
        for name, (a, b, margin) in tests.items()
    }
    rows = tuple(_row(name, *tests[name][:2], found[name]) for name in tests)
    header = ("unit", "ours", "reference", "difference", "95 % interval", "t", "df", "p two-sided", "p one-sided")
    if theirs.exact:
        notes = [*notes, "the reference is one number and taken as exact: a one-sample test"]
    few = _too_few(ours.bpb, theirs)
    plain, strict = found["bits per byte"], list(found.values())[-1] if len(found) > 1 else None
    verdict, sentence = _in_words(few, plain, strict, unit)
    return Comparison(Table(title, header, rows, (*notes, *theirs.notes)), verdict, sentence)


def _without(title: str, reason: str) -> Comparison:
    return Comparison(Table(title, (), ()), "not shown", f"not shown: {reason}")


def _texts_apart(ours: ScoredText | None, theirs: Reference) -> str:
    """Why bits per byte of the two are of different texts; empty where they are of one, as far as anybody can tell.

    A published claim says nothing of its text: it is taken to be on FineWeb's validation.
    """
    if ours is not None and theirs.scored is not None:
        same = ours.text == theirs.scored.text and (
            ours.data == theirs.scored.data or not (ours.data and theirs.scored.data)
        )
        return "" if same else f"other texts: ours is on {ours}; the reference on {theirs.scored}"
    known = theirs.scored if ours is None else ours
    claimed = ours is None or theirs.published
    if known is None or not claimed or known.data.startswith("fineweb"):
        return ""
    return (
        f"other texts: one is on {known}, the other a published claim on FineWeb's validation. They can stand beside "
        "each other, but no test compares them"
    )


def _in_nats(ours: Experiment, theirs: Reference) -> tuple[str, Sample | None, Sample | None, list[str]]:
    """Both in nats per token of one vocabulary: as measured where they share it, from bits per byte where not."""
    assert ours.bpb is not None
    mine, other = ours.counted[0].bytes_per_token, theirs.bytes_per_token
    same = mine is not None and other is not None and math.isclose(mine, other, rel_tol=_SAME_VOCABULARY)
    if same and ours.loss is not None and theirs.loss is not None:
        return "nats per token", ours.loss, theirs.loss, []
    per_token = other or mine
    if per_token is None:
        return "", None, None, ["bytes per token are not known, so there is no test in nats per token"]
    whose = "the reference's" if other else "our"
    why = "vocabularies differ" if mine and other and not same else "not all nats per token are known"
    factor = math.log(2) * per_token
    note = f"{why}: nats per token are bits per byte × ln 2 × {per_token:.4f} bytes a token of {whose} vocabulary"
    return f"nats per token of {whose} vocabulary", ours.bpb.scaled(factor), theirs.bpb.scaled(factor), [note]


def _row(name: str, ours: Sample, theirs: Sample, test: TTest | None) -> tuple[str, ...]:
    shown = (name, described(ours), described(theirs), signed(ours.mean - theirs.mean, 5))
    if test is None:
        return (*shown, "", "", "", "", "")
    low, high = test.interval()
    return (
        *shown,
        f"{low:+.5f} … {high:+.5f}",
        number(test.t, 4),
        number(test.df, 4),
        probability(test.two_sided),
        probability(test.one_sided),
    )


def described(sample: Sample) -> str:
    """``1.11473 ± 0.00035, n=3``."""
    return f"{sample.mean:.5f}" + ("" if sample.std is None else f" ± {sample.std:.5f}") + f", n={sample.n}"


def _too_few(ours: Sample, theirs: Reference) -> str:
    short = [
        f"{who} {sample.n} seed{'s' * (sample.n != 1)}"
        for who, sample in (("ours has", ours), ("the reference has", theirs.bpb))
        if sample.n < LEAST_SEEDS and not (theirs.exact and sample is theirs.bpb)
    ]
    return f"{' and '.join(short)}; a verdict takes {LEAST_SEEDS} on a side" if short else ""


def _in_words(few: str, plain: TTest | None, strict: TTest | None, unit: str) -> tuple[str, str]:
    if few:
        return "not shown", f"not shown: {few}"
    if plain is None:
        return "not shown", "not shown: the scores do not differ among themselves, so nothing can be tested"
    verdict = "not shown"
    if plain.one_sided < RULE_P:
        verdict = "better"
        if strict is not None and strict.one_sided < RULE_P:
            verdict = "a record by the rule"
    elif 1 - plain.one_sided < RULE_P:
        verdict = "worse"
    return verdict, "; ".join(_sentence(verdict, plain, strict, unit))


def _sentence(verdict: str, plain: TTest, strict: TTest | None, unit: str) -> Iterator[str]:
    p = plain.one_sided
    yield {
        "not shown": f"not shown: neither better nor worse at p < {RULE_P:g} (one-sided p of better {probability(p)})",
        "worse": f"worse (one-sided p of worse {probability(1 - p)})",
    }.get(verdict, f"{verdict}: better at one-sided p = {probability(p)}")
    if strict is not None:
        met = "met" if strict.one_sided < RULE_P else "not met"
        of = unit.removeprefix("nats per token")
        yield (
            f"the rule ({MARGIN_NATS:g} nats per token{of} better at p < {RULE_P:g}) is {met}, "
            f"p = {probability(strict.one_sided)}"
        )
    accepted = "is" if p < PRACTICE_P else "is not"
    yield f"what later records were accepted by (one-sided p < {PRACTICE_P:g}, no margin) {accepted} met"
