"""A run's curves as one picture: training loss and dev score over the seconds of training.

Drawn from ``metrics.jsonl`` by matplotlib (the extra ``plot``), which is imported when a picture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pgolf.core.errors import RunError
from pgolf.core.json_text import parse_json
from pgolf.track.result import read_result

MEAN_OF = 20  # steps, where there are enough of them
_DRAWN = ("train_seconds", "train_loss", "dev_bpb")
_ENDINGS = (".svg", ".png", ".pdf")
_SIZE_INCHES = (8.0, 2.8)


def draw_curves(run: Path, out: Path) -> None:
    """Draw the run in the folder ``run`` into ``out``; its ending chooses the format.

    What a run that broke off had measured is drawn too. Raises RunError for a folder that is no run, without metrics,
    or where matplotlib is missing.
    """
    result, rows = read_result(run), _rows(run / "metrics.jsonl")
    losses = [(row["train_seconds"], row["train_loss"]) for row in rows if row.get("train_loss") is not None]
    scores = [(row["train_seconds"], row["dev_bpb"]) for row in rows if row.get("dev_bpb") is not None]
    if len(losses) < 2:
        raise RunError(f"{run}: metrics of {len(losses)} steps; a curve needs 2")
    mean_of = MEAN_OF if len(losses) >= 10 * MEAN_OF else 1
    with picture(out, _SIZE_INCHES) as (left, right):
        left.plot(*zip(*_means(losses, mean_of), strict=True), linewidth=1)
        title = "training loss" + (f" (mean of {mean_of} steps)" if mean_of > 1 else "")
        left.set(title=title, ylabel="nats per token")
        right.set(title="dev score of a sample, and the final one", ylabel="bits per byte")
        if scores:
            right.plot(*zip(*scores, strict=True), marker="o", linewidth=1)
        final = result["scores"]["final"]
        if final is not None and final["val_bpb"] is not None:
            right.axhline(final["val_bpb"], linestyle="--", linewidth=1, color="gray")
            at = {"transform": right.get_yaxis_transform(), "va": "bottom"}  # the left edge, wherever seconds begin
            right.text(0.01, final["val_bpb"], f"final {final['val_bpb']:.4f}", **at)
        for axes in (left, right):
            axes.set_xlabel("training seconds")


@contextmanager
def picture(out: Path, size_inches: tuple[float, float], columns: int = 2) -> Iterator[tuple[Any, ...]]:
    """Axes beside each other, drawn into ``out`` in the end. Raises RunError where that cannot be done."""
    if out.suffix not in _ENDINGS:
        raise RunError(f"{out}: cannot be drawn: its name ends in none of {', '.join(_ENDINGS)}")
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise RunError("a picture needs matplotlib: pip install 'pgolf[plot]'") from error
    pyplot.rcParams.update({"svg.hashsalt": "pgolf", "font.size": 9})  # the same data, the same bytes
    figure, axes = pyplot.subplots(1, columns, figsize=size_inches, layout="constrained", squeeze=False)
    try:
        yield tuple(axes[0])
        for one in axes[0]:
            one.grid(alpha=0.3)
        figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
    except OSError as error:
        raise RunError(f"{out}: cannot be drawn: {error.strerror or error}") from error
    finally:
        pyplot.close(figure)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error
    rows = [parse_json(line, f"{path}: line {n}", RunError) for n, line in enumerate(lines, 1)]
    for n, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not all(isinstance(row.get(key), int | float | None) for key in _DRAWN):
            raise RunError(f"{path}: line {n} holds no metrics")
    return [row for row in rows if row.get("train_seconds") is not None]


def _means(points: Sequence[tuple[float, float]], of: int) -> list[tuple[float, float]]:
    groups = [points[i : i + of] for i in range(0, len(points) - of + 1, of)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]
