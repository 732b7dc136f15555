"""Bits and damage of every stored tensor."""

from __future__ import annotations

from pgolf.bundle.folder import ARTIFACT_NAME
from pgolf.core.errors import UserError
from pgolf.report.html.charts import numbers, ticks
from pgolf.report.html.parts import Bar, Bars, BarSpan, Folded, Key, Notice, Section
from pgolf.report.html.subject import RunPage
from pgolf.report.stored import StoredModel, StoredWeights, stored_model
from pgolf.report.table import Table, whole

PLACE = 50
MOST_BARS = 60
LEAD = (
    "Bits of a weight are estimated from the codes' own histogram, damage is the share of a tensor's energy that its "
    "stored form misses, ‖W − Ŵ‖² / ‖W‖²: what it costs in bits per byte depends on what the matrix is fed."
)


def section(page: RunPage) -> Section | None:
    if not (page.folder / ARTIFACT_NAME).exists():
        return None
    try:
        model = stored_model(page.folder)
    except UserError as error:
        return Section("Tensors", (Notice(str(error).replace(f"{page.folder}/", ""), "warn"),))
    coarse = [tensor for tensor in model.tensors if tensor.damage]
    coarse.sort(key=lambda tensor: -(tensor.damage or 0.0))
    parts = [Notice(model.problem, "warn")] if model.problem else []
    return Section("Tensors", (*parts, *_bars(coarse), Folded("All tensors", (_table(model),))), LEAD)


def _bars(coarse: list[StoredWeights]) -> list[Bars]:
    if not coarse:
        return []
    roles = list(dict.fromkeys(tensor.role for tensor in coarse))
    shown = coarse[:MOST_BARS]
    largest = max(100 * (tensor.damage or 0.0) for tensor in shown)
    marks = [tick for tick in ticks(0, largest) if tick <= largest]
    rows = tuple(
        Bar(
            tensor.name,
            f"{100 * (tensor.damage or 0.0):.2f} %, {tensor.bits:.2f} bits",
            (BarSpan(0, 100 * (tensor.damage or 0.0), roles.index(tensor.role)),),
        )
        for tensor in shown
    )
    notes = (f"the {MOST_BARS} largest of {len(coarse)}",) if len(coarse) > MOST_BARS else ()
    keys = tuple(Key(role, number) for number, role in enumerate(roles))
    labels = tuple(zip(marks, (f"{text} %" for text in numbers(marks)), strict=True))
    return [Bars("Damage by tensor, the most damaged first", rows, 0.0, largest, labels, 0.0, keys, notes)]


def _table(model: StoredModel) -> Table:
    rows = tuple(
        (
            tensor.name,
            tensor.role,
            tensor.scheme,
            " × ".join(map(str, tensor.shape)),
            whole(tensor.weights),
            str(tensor.grid_bits or ""),
            f"{tensor.bits:.3f}",
            whole(tensor.bits * tensor.weights / 8),
            "" if tensor.damage is None else f"{100 * tensor.damage:.4g}",
        )
        for tensor in sorted(model.tensors, key=lambda tensor: -tensor.bits * tensor.weights)
    )
    header = (
        "tensor",
        "role",
        "scheme",
        "shape",
        "weights",
        "bits of a code",
        "bits of a weight",
        "bytes",
        "damage, %",
    )
    return Table("", header, rows, ("bytes are bits × weights, before the compressor's contexts",))
