"""From settings to objects, in data-flow order (style 14). Runtime objects are passed by keyword.

``cfg`` is the plain mapping that ``pgolf.config.compose.settings`` returns.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pgolf.auxiliary.base import WithTerms
from pgolf.core.budget import BudgetParts, parted
from pgolf.core.errors import ConfigError
from pgolf.core.events import Listener
from pgolf.core.make import make
from pgolf.core.process import Process, choose_precision, find_compiler, synchronise
from pgolf.core.protocols import Loader, Model, Progress, Quantizer
from pgolf.core.vector_math import settle_vector_math
from pgolf.curriculum.base import Curriculum
from pgolf.data.dataset import Dataset
from pgolf.distillation.base import Distillation
from pgolf.qat.base import Loss, Prepared, QATMethod
from pgolf.tokenizer.recipe import Recipe
from pgolf.train.activation import Activate
from pgolf.train.clock import TrainClock
from pgolf.train.model_progress import ModelProgress
from pgolf.train.moment import RunLength
from pgolf.train.replicas import ALONE, Replicas, micro_steps
from pgolf.train.trainer import Hook, Plan, Runtime, ScoreDev, Trainer
from pgolf.train.warmup import warm_up
from pgolf.warm_start.base import WarmStart

# Below these, compiling a laptop-sized model costs more than it saves (measured: 30-60 s cold, steps 1.5-1.9x faster).
COMPILE_PAYS_SECONDS = 120
COMPILE_PAYS_STEPS = 500


def build_model(cfg: Mapping[str, Any], dataset: Dataset, device: torch.device) -> Model:
    """The composed model for the data's vocabulary, fp32 on ``device``. Seed before calling."""
    settle_vector_math()
    tokenizer = dataset.tokenizer
    return make(cfg["arch"], vocab_size=tokenizer.vocab_size, bos_id=tokenizer.bos_id).to(device)


def build_loader(cfg: Mapping[str, Any], dataset: Dataset, process: Process) -> Loader:
    """A fresh training loader; what it yields depends on the data, the settings and the seed alone."""
    train = cfg["train"]
    return make(
        cfg["loader"],
        slices=dataset.shards["train"],
        batch_tokens=train["batch_tokens"],
        window=train["window"],
        accumulation=micro_steps(train["accumulation"], process.world),
        rank=process.rank,
        world=process.world,
        seed=cfg["seed"],
        bos_id=dataset.tokenizer.bos_id,
    )


def build_trainer(
    cfg: Mapping[str, Any],
    model: Model,
    dataset: Dataset,
    process: Process,
    *,
    score_dev: ScoreDev,
    listeners: Sequence[Listener] = (),
    folder: Path | None = None,
    replicas: Replicas = ALONE,
    account: Callable[[], Mapping[str, Any]] = dict,
) -> Trainer:
    """Loader, optimizer, schedule and hooks around ``model``; the loss is not compiled yet.

    What the quantizer's calibration reserves is taken off the training seconds, so that schedules end in time.
    ``score_dev``, ``listeners``, ``folder``, ``replicas`` and ``account``: see ``pgolf.train.trainer.Runtime``.
    """
    train, budget = cfg["train"], cfg["budget"]
    device = next(model.parameters()).device
    curriculum: Curriculum = make(cfg["curriculum"])
    curriculum.check(rows_of(train, process.world), train["window"])
    loader = curriculum.wrap(build_loader(cfg, dataset, process))
    quantizer = make(cfg["quant"])
    # By name: the order of words on a command line is no part of a run's name, so it may decide nothing.
    beside = nn.ModuleDict({name: make(node, model=model) for name, node in sorted(cfg["auxiliary"].items())})
    model.terms = tuple(beside.values())
    chosen: list[Hook] = [make(cfg["averaging"]), curriculum, *(make(node) for _, node in sorted(cfg["hook"].items()))]
    parts = budget_parts(cfg, quantizer, chosen)
    length = run_length(budget, parts)
    schedule = make(cfg["schedule"], length=length)
    method: QATMethod = make(cfg["qat"])
    prepared: Prepared = method.prepare(model, quantizer, schedule)
    for hook in chosen:
        hook.prepare(schedule)
    hooks = [*prepared.updates, *chosen]
    distillation: Distillation = make(cfg["distillation"])
    teacher = distillation.teacher(cfg["arch"])
    if teacher is not None:
        hooks += distillation.attach(model, build_model({**cfg, "arch": teacher}, dataset, device))
    activations = model.activations()
    if activations:
        hooks.append(Activate(activations, model.routes, length.steps))
    followers = ModelProgress(model)
    if followers.listeners:
        hooks.append(followers)
    hooks += prepared.hooks
    warm_start: WarmStart = make(cfg["warm_start"])
    hooks += warm_start.attach(dataset)
    runtime = Runtime(
        optimizer=make(cfg["optimizer"], model=WithTerms(model, beside) if beside else model),
        schedule=schedule,
        loader=loader,
        hooks=hooks,
        clock=TrainClock(synchronise=synchronise(device)),
        score_dev=score_dev,
        listeners=listeners,
        folder=folder,
        replicas=replicas,
        account=account,
        beside=beside,
    )
    plan = Plan(
        seconds=length.seconds,
        steps=length.steps,
        accumulation=micro_steps(train["accumulation"], process.world),
        grad_clip=train["grad_clip"],
        autocast=choose_precision(train["precision"], device),
        before=parts.before,
        after=parts.after,
    )
    return Trainer(model, plan, runtime, prepared.loss)


def rows_of(train: Mapping[str, Any], world: int) -> int:
    """Windows of one micro-batch."""
    return train["batch_tokens"] // (train["window"] * micro_steps(train["accumulation"], world) * world)


def budget_parts(cfg: Mapping[str, Any], quantizer: Quantizer, hooks: Sequence[Hook]) -> BudgetParts:
    """The training budget as calibration, distillation and ``hooks`` part it.

    Raises ConfigError where no step is left.
    """
    source = quantizer.calibration_source
    reserve_seconds = 0.0 if source is None else float(source.reserve_seconds)
    return parted(cfg["budget"], reserve_seconds, make(cfg["distillation"]).share, sum(hook.reserve for hook in hooks))


def run_length(budget: Mapping[str, Any], parts: BudgetParts) -> RunLength:
    """How long the steps last."""
    return RunLength(parts.main if budget["train_steps"] is None else budget["train_seconds"], parts.steps)


def wants_compile(cfg: Mapping[str, Any], device: torch.device) -> bool:
    """Whether to compile: as told, or where a compiler is found and the budget is long enough for it to pay."""
    wanted, budget = cfg["train"]["compile"], cfg["budget"]
    if wanted != "auto":
        return wanted == "always"
    steps = budget["train_steps"]
    pays = budget["train_seconds"] >= COMPILE_PAYS_SECONDS if steps is None else steps >= COMPILE_PAYS_STEPS
    return pays and find_compiler(device) is not None


def prepare_dataset(cfg: Mapping[str, Any], progress: Progress, recipe: Recipe | None = None) -> Dataset:
    """Fetch, check, tokenize and cache the corpus, with ``recipe`` in place of the config's tokenizer if given.

    Raises DataError.
    """
    source = make(cfg["data"])
    recipe = make(cfg["tokenizer"]) if recipe is None else recipe
    return source.prepare(recipe, Path(cfg["cache_dir"]), cfg["size"]["shard_tokens"], progress)


def compile_loss(trainer: Trainer, mode: str, seconds: float) -> str | None:
    """Compile the loss and warm it up, outside the clock.

    Returns why it failed where ``mode`` is ``auto`` and training goes on eagerly; raises ConfigError where it
    is ``always``.
    """
    torch._dynamo.reset()  # earlier runs of this process count against the compiler's limit of graphs
    assert isinstance(trainer.loss, Loss), "build_trainer made it"
    parts: list[Loss | Hook] = [trainer.loss, *trainer.hooks]
    for part in parts:
        part.compile_model_part(partial(torch.compile, dynamic=False, options=compiler_options(trainer.device)))
    try:
        warm_up(trainer, seconds)
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = _said_by_the_compiler(error)
        if mode == "always":
            raise ConfigError(f"train.compile: always was asked for, but compiling failed: {reason}") from error
        for part in parts:
            part.compile_model_part(lambda eager: eager)
        return reason
    return None


def compiler_options(device: torch.device) -> dict[str, str | int | bool] | None:
    """What Inductor is told beside its defaults.

    On a GPU it may not fuse reductions over rows with those over columns, as in the backward pass of a norm with a
    gain: torch 2.11 ends there in an assertion of its own (#1204 at record size) or takes more registers than there are
    (pytorch #176131, #179494).
    """
    import torch._inductor.config as inductor

    name = "mix_order_reduction"
    return {f"triton.{name}": False} if device.type == "cuda" and hasattr(inductor.triton, name) else None


def _said_by_the_compiler(error: Exception) -> str:
    """Its first line, and where in torch it gave up, as an assertion alone tells nothing."""
    first = str(error).strip().splitlines()[0]
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{first.rstrip(': ')} in {place.name}, line {place.lineno} of {place.filename}"
