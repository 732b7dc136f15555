"""``pgolf dashboard``: the project's dashboard in W&B as code. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from pgolf.core.command import guarded, home

_OFFLINE = ("offline", "disabled", "dryrun")


def add_parser(subparsers: Any) -> None:
    """Add the command; its handler is set as ``run(args) -> exit status``."""
    parser = subparsers.add_parser(
        "dashboard",
        help="make the project's dashboard in W&B, or write its definition to a file",
        description=(
            "Runs by experiment, sweep and config, curves over steps and seconds, bytes, quantization damage, "
            "certificates, ablations with error bars. With WANDB_API_KEY it is saved as a new view of the project, and "
            "its address printed; without, or with WANDB_MODE=offline, its definition goes to a file. Needs the extra: "
            "pip install 'pgolf[dashboard]'."
        ),
    )
    parser.add_argument("--project", default="pgolf", metavar="P", help="as logger.wandb.project (default: pgolf)")
    parser.add_argument("--entity", default="", metavar="E", help="user or team (default: the account's own)")
    parser.add_argument("--out", type=home, metavar="FILE.json", help="write the definition there, key or not")
    parser.set_defaults(run=guarded("dashboard", _run))


def _run(args: argparse.Namespace) -> None:
    """Raises ConfigError for names that W&B does not take, RunError for what W&B or the disk says."""
    from pgolf.core.errors import ConfigError, RunError
    from pgolf.logger.wandb import NAMES
    from pgolf.report.dashboard import build_dashboard, save_dashboard, write_specification

    given = {"--project": args.project, "--entity": args.entity}
    wrong = [f"{option}: {name!r} is not {NAMES}" for option, name in given.items() if name and not NAMES.holds(name)]
    if wrong or not args.project:
        raise ConfigError(wrong or [f"--project: '' is not {NAMES}"])
    dashboard = build_dashboard(args.project, args.entity)
    has_key = bool(os.environ.get("WANDB_API_KEY")) and os.environ.get("WANDB_MODE", "").lower() not in _OFFLINE
    out = args.out or (None if has_key else Path(f"dashboard-{args.project}.json"))
    if out is not None:
        write_specification(dashboard, out)
        print(f"{out}: {out.stat().st_size:,} bytes, {len(dashboard.sections)} sections")
    if not has_key:
        print("not saved in W&B: no WANDB_API_KEY, or WANDB_MODE says offline; with it the same command does that")
        return
    print(f"asking W&B for a view of {args.project}", flush=True)
    try:
        print(save_dashboard(dashboard))
    except RunError as error:
        where = out or Path(f"dashboard-{args.project}.json")
        write_specification(dashboard, where)
        raise RunError(f"{error}; the definition is in {where}") from error
