"""Validate a finished config before anything slow: every problem at once (style 6).

Single nodes are the business of ``pgolf.config.check``; here are the rules that span groups, and what only
building can tell: the model (without memory), the windows, the quantizer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

import pgolf.quant.scale
from pgolf.arch.attention.layer import Attention
from pgolf.arch.base import SequenceMixer
from pgolf.build import budget_parts, rows_of, run_length
from pgolf.config.check import bind_problems, node_problems, type_problems
from pgolf.config.groups import group_of
from pgolf.core.budget import training_seconds
from pgolf.core.errors import ConfigError
from pgolf.core.launcher import process_facts
from pgolf.core.make import make, trait
from pgolf.core.prediction import Facts
from pgolf.core.process import choose_device, free_memory
from pgolf.core.registry import modules_of
from pgolf.eval.evaluation import apart, check_cadence, check_ranks, stages_of, weights_for
from pgolf.eval.network import FixedNetwork, offers_of, widths_of
from pgolf.eval.stage import check_signals
from pgolf.eval.windows import check_positions
from pgolf.qat.base import QATMethod
from pgolf.run.replicas import trains_in
from pgolf.tokenizer.recipe import BOS_ID, vocab_size
from pgolf.train.activation import Activate
from pgolf.train.pace import refuse_never
from pgolf.train.trainer import Hook

LONGEST_CALIBRATION_ROW = 16_384  # tokens; a mask of a quarter of a gigabyte


def check(cfg: Mapping[str, Any], *, trains: bool = True) -> None:
    """Raise ConfigError listing everything wrong with the composed config ``cfg``.

    ``trains`` is False for what begins with trained weights: how they were trained need not fit it.
    """
    problems = list(node_problems(cfg))
    broken = {re.split("[./:]", problem)[0] for problem in problems}
    if not any(type_problems(cfg)):  # else they ask what is not there
        problems += _rule_problems(cfg, broken, trains)
    if problems:
        raise ConfigError(problems)


def _rule_problems(cfg: Mapping[str, Any], broken: set[str], trains: bool) -> Iterator[str]:
    """Rules between groups, and what only building can tell: the model (without memory) and the windows.

    ``broken`` names groups whose nodes have been complained about already; they are not built. Where nothing
    ``trains``, the rules of training are left out.
    """
    if cfg["budget"]["train_steps"] is None and "wallclock" not in cfg["hook"]:
        yield "hook: nothing would end the training; keep hook.wallclock or set budget.train_steps"
    if not broken & {"mixer", "ngram"}:
        passes_on_one, no_expert = (trait(cfg[group], "neutral", False) for group in ("mixer", "ngram"))
        if "packed_bytes" in cfg["ngram"] and not any(map(_starts_packed, (cfg["ngram"]["of"], cfg["mixer"]))):
            yield (
                "ngram: packed counts, and nobody whose counts would begin with them, as those of mixer=tree and of "
                "ngram@ngram.of=backoff would; choose another ngram, or ngram=none"
            )
            broken = broken | {"mixer"}
        elif passes_on_one and not no_expert:
            yield "mixer: the network and an n-gram expert need a mixer; mixer=none combines nothing"
            broken = broken | {"mixer"}
    built, told = _Built(cfg, trains), set[str]()
    model = {"arch", "size", "tokenizer"}
    timing = {"averaging", "budget", "curriculum", "distillation", "hook", "quant", "schedule"}
    for part, groups, of_training in (
        (_eval_rules, {"eval", "size"}, False),
        (_stage_rules, model | {"mixer", "ngram", "ttt"}, False),
        (_machine_rules, set(), False),
        (_process_rules, set(), False),
        (_model_rules, model, False),
        (_adaptation_rules, model | {"eval", "ttt"}, False),
        (_attention_rules, model, True),
        (_row_rules, model | {"loader", "curriculum", "quant"}, True),
        (_memory_rules, model | {"eval"}, False),
        (_quant_rules, model | {"quant"}, False),
        (_calibration_rules, model | {"budget", "quant"}, False),
        (_optimizer_rules, model | {"optimizer"}, True),
        (_auxiliary_rules, model | {"auxiliary"}, True),
        (_schedule_rules, timing, True),
        (_hook_rules, timing, True),
        (_curriculum_rules, {"curriculum", "train"}, True),
        (_distillation_rules, model | {"distillation"}, True),
        (_qat_rules, model | timing | {"qat"}, True),
        (_phase_rules, model | timing | {"optimizer", "qat"}, True),
    ):
        if broken & groups or (of_training and not trains):
            continue
        try:
            part(built)
        except ConfigError as error:
            # What several rules look at and cannot be built is one problem, not one of each.
            yield from (problem for problem in error.problems if problem not in told)
            told.update(error.problems)


def _starts_packed(node: Mapping[str, Any]) -> bool:
    return trait(node, "starts_packed", False) or ("of" in node and _starts_packed(node["of"]))


class _Built:
    """What several rules look at, built when the first of them asks. ``model`` has no memory."""

    def __init__(self, cfg: Mapping[str, Any], trains: bool) -> None:
        self.cfg, self.trains = cfg, trains

    @cached_property
    def model(self) -> Any:
        """Raises ConfigError for settings of which no model, or no tensor, can be made."""
        try:
            with torch.device("meta"):
                return make(self.cfg["arch"], vocab_size=vocab_size(self.cfg["tokenizer"]), bos_id=BOS_ID)
        except (RuntimeError, OverflowError, MemoryError) as error:  # torch, on sizes beyond its integers
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConfigError(f"arch: no model of this size can be built: {first}") from error

    @cached_property
    def quantizer(self) -> Any:
        _refuse_target_without_k(self.cfg["quant"])  # with the choices, which the quantizer does not know
        return make(self.cfg["quant"])

    @cached_property
    def curriculum(self) -> Any:
        return make(self.cfg["curriculum"])

    @cached_property
    def hooks(self) -> list[Hook]:
        return [make(self.cfg["averaging"]), self.curriculum, *map(make, self.cfg["hook"].values())]

    @cached_property
    def schedule(self) -> Any:
        parts = budget_parts(self.cfg, self.quantizer, self.hooks)
        return make(self.cfg["schedule"], length=run_length(self.cfg["budget"], parts))

    @cached_property
    def optimizer(self) -> Any:
        return make(self.cfg["optimizer"], model=self.model)


def _eval_rules(built: _Built) -> None:
    method = make(built.cfg["eval"])
    if method.official_truncation and trait(built.cfg["tokenizer"], "metric", "raw") != "table":
        raise ConfigError(
            "eval.official_truncation: true drops the stream's tail, which only a published vocabulary's metric allows"
        )


def _stage_rules(built: _Built) -> None:
    """Experts and mixer can be built for a stream, and somebody offers each signal that they need."""
    model = built.model
    facts = Facts(vocab_size(built.cfg["tokenizer"]), BOS_ID, stream_tokens=2, widths=lambda: widths_of(model))
    ngram, ttt, mixer = (make(built.cfg[group]) for group in ("ngram", "ttt", "mixer"))
    own = [name for stage in ttt.stages(facts) for name in stage.needs]
    check_signals(stages_of(ngram, ttt, mixer, facts), [*offers_of(model), *own])


def _memory_rules(built: _Built) -> None:
    """The evaluation can be made with the model, in windows that it has learnt."""
    model = built.model
    method = make(built.cfg["eval"])
    method.check(model)
    check_positions(model, method.window)


def _machine_rules(built: _Built) -> None:
    choose_device(built.cfg["device"])


def _process_rules(built: _Built) -> None:
    """Who started this process makes sense, and those that train together can share a step."""
    choose_device(built.cfg["device"])
    world = (trains_in(built.cfg) if built.trains else process_facts()).world
    if world > 1 and not built.trains:
        raise ConfigError(
            f"ranks: {world} processes were started, and nothing trains here; start one, without torchrun"
        )


def _model_rules(built: _Built) -> None:
    _ = built.model


def _adaptation_rules(built: _Built) -> None:
    """What changes the network during evaluation fits what the plan makes of it, and the windows."""
    method = make(built.cfg["eval"])
    model = built.model
    method.check(model)
    facts = Facts(vocab_size(built.cfg["tokenizer"]), BOS_ID, stream_tokens=2, lanes=method.lanes)
    facts = replace(facts, apart=apart(method.plan(facts)))
    ttt = make(built.cfg["ttt"])
    if trait(built.cfg["eval"], "gates", False) and not _apart(built.cfg["ttt"]):
        raise ConfigError(
            f"eval: {method.name} tells which documents are adapted to, and this ttt adapts to none of them apart; "
            "choose ttt=document_lora, or eval=documents"
        )
    network = ttt.wrap(method.network(weights_for(ttt, FixedNetwork(model)), facts), facts)
    check_cadence(method, network)
    check_ranks(method, network, facts.apart, built.cfg["eval_ranks"])


def _apart(node: Mapping[str, Any]) -> bool:
    return trait(node, "apart", False) or ("of" in node and _apart(node["of"]))


def _attention_rules(built: _Built) -> None:
    """The kernel of attention has a backward pass where the run trains."""
    model, device = built.model, choose_device(built.cfg["device"]).type
    for mixer in (layer.mixer for layer in model.layers):
        if isinstance(mixer, SequenceMixer) and device not in mixer.trains_on:
            name = type(mixer.kernel if isinstance(mixer, Attention) else mixer).__name__.lower()
            raise ConfigError(
                f"arch/attention: {name} attention cannot train on a {device.upper()}, only on "
                f"{', '.join(sorted(mixer.trains_on))}; auto trains anywhere (arch.attention.kernel=auto for documents)"
            )


def _row_rules(built: _Built) -> None:
    """Rows longer than a window go to an attention that parts them, and to nothing else that mixes positions."""
    if not trait(built.cfg["loader"], "makes_rows", False):
        return
    if not trait(built.cfg["curriculum"], "neutral", False):
        raise ConfigError("curriculum: it cuts batches of windows, and loader=documents makes rows; choose one of them")
    for mixer in (layer.mixer for layer in built.model.layers if layer.mixer is not None):
        if not isinstance(mixer, Attention) or not mixer.kernel.takes_rows:
            name = type(mixer.kernel if isinstance(mixer, Attention) else mixer).__name__.lower()
            raise ConfigError(
                f"loader: it hands the model rows of many documents, and {name} would mix all of a row; choose "
                "arch/attention=packed, or another loader"
            )
        if mixer.rotary.ntk:
            raise ConfigError(
                "arch.attention.rope_ntk: the base would grow with the rows of loader=documents, and be another one in "
                "the windows of an evaluation; choose rope_ntk=false, or another loader"
            )
    train = built.cfg["train"]
    row = train["batch_tokens"] // train["accumulation"]
    if row > LONGEST_CALIBRATION_ROW and built.quantizer.calibration_source is not None:
        raise ConfigError(
            f"quant: it calibrates on the loader's rows, of {row:,} tokens on one device, and attention would hold all "
            f"pairs of them; more train.accumulation makes rows shorter ({LONGEST_CALIBRATION_ROW:,} at most), or "
            "choose another loader, or a quantizer without calibration"
        )


def _quant_rules(built: _Built) -> None:
    """The quantizer can be built, and its policy fits the model."""
    quantizer, model = built.quantizer, built.model
    quantizer.forecast_model(model.param_specs(), {name: p.shape for name, p in model.named_parameters()})


def _refuse_target_without_k(node: Mapping[str, Any]) -> None:
    if node.get("target_bytes") is None or "scale" not in node or trait(node["scale"], "has_k", False):
        return
    option = node["scale"]["_target_"].split(".")[-2]
    choices = [
        module.__name__.rpartition(".")[2]
        for module in modules_of(pgolf.quant.scale)
        if any(
            getattr(member, "has_k", False) and member.__module__ == module.__name__ for member in vars(module).values()
        )
    ]
    raise ConfigError(
        f"quant.target_bytes: a size is hit by multiplying k, and quant/scale={option} has none. "
        f"Choices: {', '.join(choices)}"
    )


def _calibration_rules(built: _Built) -> None:
    budget = built.cfg["budget"]
    source = built.quantizer.calibration_source
    if source is None:
        return
    if training_seconds(budget, source.reserve_seconds) <= 0:
        raise ConfigError(
            f"quant.calibration.reserve_seconds: {source.reserve_seconds:g} leaves nothing of "
            f"budget.train_seconds = {budget['train_seconds']:g}"
        )
    source.check(built.model)


def _optimizer_rules(built: _Built) -> None:
    """The optimizer's settings go together, and with the model's layers."""
    _ = built.optimizer


def _schedule_rules(built: _Built) -> None:
    """What the schedule announces comes within the budget."""
    _ = built.schedule


def _auxiliary_rules(built: _Built) -> None:
    """Terms of the loss can be made for the model."""
    for node in built.cfg["auxiliary"].values():
        make(node, model=built.model)


def _hook_rules(built: _Built) -> None:
    """What hooks wait for comes before the run ends."""
    schedule = built.schedule
    problems: list[str] = []
    for hook in built.hooks:
        try:
            hook.prepare(schedule)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)


def _curriculum_rules(built: _Built) -> None:
    """Batches and windows can be cut as asked."""
    train = built.cfg["train"]
    if min(train["window"], train["accumulation"]) < 1:
        return  # has been complained about
    built.curriculum.check(rows_of(train, trains_in(built.cfg).world), train["window"])


# Of a model in training, fp32 copies of its parameters: weights, gradients, two moments of AdamW, and of the run's own
# model an average. Activations come on top.
_TEACHER_COPIES, _STUDENT_COPIES, _FP32_BYTES = 4, 5, 4


def _distillation_rules(built: _Built) -> None:
    """The teacher can be built, and trained in the memory there is."""
    node = make(built.cfg["distillation"]).teacher(built.cfg["arch"])
    if node is None:
        return
    model, device = built.model, choose_device(built.cfg["device"])
    place, arch = "distillation.teacher", group_of("arch")
    assert arch is not None
    problems = list(bind_problems(node, arch, place))
    if problems:
        raise ConfigError(problems)
    try:
        teacher = _Built({**built.cfg, "arch": node}, trains=True).model
    except ConfigError as error:
        raise ConfigError([f"{place}: {problem}" for problem in error.problems]) from error
    needed, own = (
        copies * _FP32_BYTES * sum(p.numel() for p in one.parameters())
        for copies, one in ((_TEACHER_COPIES, teacher), (_STUDENT_COPIES, model))
    )
    free = free_memory(device)
    if free is not None and needed + own > free:
        raise ConfigError(
            f"{place}: {needed / 1e9:,.2f} GB for its weights, gradients and moments, beside {own / 1e9:,.2f} GB for "
            f"the run's own model; {free / 1e9:,.2f} GB are free on {device}"
        )


def _qat_rules(built: _Built) -> None:
    """A method of training for the grid knows that grid, and begins before the run ends."""
    method: QATMethod = make(built.cfg["qat"])
    if method.neutral:
        return
    _quant_rules(built)
    model, schedule = built.model, built.schedule
    method.prepare(model, built.quantizer, schedule)


def _phase_rules(built: _Built) -> None:
    """What is to change in mid-run does so in a run of a fixed number of steps; by the clock only timed steps tell."""
    cfg = built.cfg
    if cfg["budget"]["train_steps"] is None:
        return
    method: QATMethod = make(cfg["qat"])
    model, schedule = built.model, built.schedule
    for hook in built.hooks:
        hook.prepare(schedule)
    _curriculum_rules(built)
    prepared, optimizer = method.prepare(model, built.quantizer, schedule), built.optimizer
    steps = schedule.length.steps
    activate = Activate(model.activations(), model.routes, steps)
    hooks = [*prepared.updates, *built.hooks, activate, *prepared.hooks]
    phases = [phase for one in (schedule, optimizer, *hooks) for phase in one.phases()]
    refuse_never(phases, steps)
