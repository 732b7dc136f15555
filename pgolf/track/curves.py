"""A run's curves as one picture: training loss and dev score over the seconds of training; and of what hooks watched,
norms, sizes of weights and activations, gates, lanes and gains, over the steps.

Drawn from ``metrics.jsonl`` by matplotlib (the extra ``plot``), which is imported when a picture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.core.errors import RunError
from pgolf.core.json_text import parse_json
from pgolf.track.result import read_result

_LARGEST = 1e300
MEAN_OF = 20  # steps, where there are enough of them
_DRAWN = ("train_seconds", "train_loss", "dev_bpb")
_ENDINGS = (".svg", ".png", ".pdf")
_SIZE_INCHES = (8.0, 2.8)  # of two panels
MOST_NAMED = 8  # of the curves of one panel; those that moved most


@dataclass(frozen=True, slots=True)
class Watched:
    """A panel that is there where a run logged something under ``prefix``: each number is a curve."""

    prefix: str
    title: str
    log: bool = True


WATCHED = (
    Watched("grad_norm", "norm of gradients"),
    Watched("update_norm", "norm of updates"),
    Watched("weight_rms", "root mean square of weights"),
    Watched("activation_rms", "root mean square behind each block"),
    Watched("learned", "gates, lanes, skips and gains", log=False),
)


def draw_curves(run: Path, out: Path) -> None:
    """Draw the run in the folder ``run`` into ``out``; its ending chooses the format.

    What a run that broke off had measured is drawn too. Raises RunError for a folder that is no run, without metrics,
    or where matplotlib is missing.
    """
    result, logged = read_result(run), _logged(run / "metrics.jsonl")
    rows = [row for row in logged if row.get("train_seconds") is not None]
    losses = [(row["train_seconds"], row["train_loss"]) for row in rows if row.get("train_loss") is not None]
    scores = [(row["train_seconds"], row["dev_bpb"]) for row in rows if row.get("dev_bpb") is not None]
    if len(losses) < 2:
        raise RunError(f"{run}: metrics of {len(losses)} steps; a curve needs 2")
    mean_of = MEAN_OF if len(losses) >= 10 * MEAN_OF else 1
    watched = {panel: curves for panel in WATCHED if (curves := _curves(logged, panel.prefix))}
    with picture(out, _SIZE_INCHES, 2 + len(watched)) as (left, right, *more):
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
        for axes, (panel, curves) in zip(more, watched.items(), strict=True):
            _draw_watched(axes, panel, curves)


Curve = list[tuple[float, float]]


def _curves(logged: Sequence[Mapping[str, Any]], prefix: str) -> dict[str, Curve]:
    """By what follows the prefix, "all" where nothing does: (step, value) of every finite number."""
    found: dict[str, Curve] = {}
    for row in logged:
        for key, value in row.items():
            first, _, name = key.partition("/")
            if first == prefix and _is_number(value) and _is_number(row.get("step")):
                found.setdefault(name or "all", []).append((row["step"], value))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _draw_watched(axes: Any, panel: Watched, curves: Mapping[str, Curve]) -> None:
    log = panel.log and all(value > 0 for curve in curves.values() for _, value in curve)

    def moved(curve: Curve) -> float:
        """How far it came from its least to its largest, as the panel shows it."""
        values = [value for _, value in curve]
        return max(values) / min(values) if log else max(values) - min(values)

    named = sorted(curves, key=lambda name: moved(curves[name]), reverse=True)[:MOST_NAMED]
    for name, curve in curves.items():
        shown = {"label": name, "linewidth": 1.0} if name in named else {"color": "lightgray", "linewidth": 0.5}
        axes.plot(*zip(*curve, strict=True), **shown, marker="." if len(curve) == 1 else "")
    if log:
        axes.set_yscale("log")
    rest = "" if len(named) == len(curves) else f" ({len(named)} of {len(curves)} named)"
    axes.set(title=panel.title + rest, xlabel="steps")
    axes.legend(fontsize=6, loc="best")


@contextmanager
def picture(out: Path, size_inches: tuple[float, float], panels: int = 2) -> Iterator[tuple[Any, ...]]:
    """Axes, two beside each other, drawn into ``out`` in the end; ``size_inches`` are those of a row. Raises RunError
    where that cannot be done."""
    if out.suffix not in _ENDINGS:
        raise RunError(f"{out}: cannot be drawn: its name ends in none of {', '.join(_ENDINGS)}")
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise RunError("a picture needs matplotlib: pip install 'pgolf[plot]'") from error
    pyplot.rcParams.update({"svg.hashsalt": "pgolf", "font.size": 9})  # the same data, the same bytes
    pyplot.rcParams["svg.fonttype"] = "none"  # letters stay letters: a quarter of the bytes, and they can be searched
    rows, (width, height) = -(-panels // 2), size_inches
    size = (width, rows * height)
    figure, grid = pyplot.subplots(rows, min(panels, 2), figsize=size, layout="constrained", squeeze=False)
    drawn, unused = grid.flat[:panels], grid.flat[panels:]
    try:
        yield tuple(drawn)
        for one in drawn:
            one.grid(alpha=0.3)
        for one in unused:
            one.set_axis_off()
        figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
    except OSError as error:
        raise RunError(f"{out}: cannot be drawn: {error.strerror or error}") from error
    finally:
        pyplot.close(figure)


def _logged(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error
    rows = [parse_json(line, f"{path}: line {n}", RunError) for n, line in enumerate(lines, 1)]
    for n, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not all(isinstance(row.get(key), int | float | None) for key in _DRAWN):
            raise RunError(f"{path}: line {n} holds no metrics")
    return rows


def _means(points: Sequence[tuple[float, float]], of: int) -> list[tuple[float, float]]:
    groups = [points[i : i + of] for i in range(0, len(points) - of + 1, of)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]
