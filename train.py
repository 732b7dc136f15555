"""Train, quantize, pack, score, certify: one composed run from text to a certified score.

    python train.py                                   the embedded text, two CPU cores, minutes
    python train.py budget=smoke                      is everything wired?
    python train.py size=record data=fineweb ...      the real thing, the same words
    python train.py -m seed=1,2,3                     a sweep; repeated, it goes on where it was
    python train.py -cd sweeps -cn recurrence_pays    one that is a file
    python train.py -m ... hydra/launcher=joblib hydra.launcher.n_jobs=2      two jobs beside each other
    python train.py print_model=true                  the model by component, without training
    python train.py dry_run=true                      how many steps will fit, what it will weigh, without training
    python train.py stop_after=dev                    choose by dev: validation stays closed
    python train.py resume=true                       go on where it was stopped

Exit status: 0 valid, 1 training diverged or something crashed, 2 configuration or input error, 3 over a cap,
4 certificate failed, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import hydra
from omegaconf import DictConfig

from pgolf.config.launch import launch, run_job


def train(cfg: dict[str, Any], overrides: list[str]) -> tuple[float, int]:
    """One run; returns what a sweep minimises (dev bits per byte) and the exit status."""
    from pgolf.artifact.forecast import refuse_unreachable
    from pgolf.eval.sealed import check_sealed
    from pgolf.eval.source import ScriptSource
    from pgolf.run import stages
    from pgolf.run.dry import dry_run
    from pgolf.run.model_report import compare_forecast, print_model, report_model
    from pgolf.run.record import Run
    from pgolf.run.replicas import follow, replicas_of
    from pgolf.run.resume import fit
    from pgolf.run.rules import check
    from pgolf.train.pace import refuse_out_of_reach

    check(cfg)
    if cfg["print_model"]:
        return print_model(cfg)
    check_sealed()
    with replicas_of(cfg) as replicas:
        if replicas.rank:
            return math.inf, follow(cfg, replicas)
        if cfg["dry_run"]:
            return dry_run(cfg, replicas)
        with Run.open(cfg, overrides, replicas=replicas) as run:
            dataset = stages.prepare(run)
            with stages.validation_closed(run, dataset):
                trainer = stages.build(run, dataset)
                expected = report_model(run, run.console, dataset, trainer.model)
                refuse_unreachable(expected)
                if cfg["stop_after"] != "prequant":
                    stages.rehearse(run, dataset, stages.composed(run, dataset, trainer.model))
                refuse_out_of_reach(trainer)
                trained = fit(run, trainer, run.found)
                stages.score_trained(run, dataset, trainer.model, trained)
                if cfg["stop_after"] != "prequant":
                    artifact = stages.export(run, dataset, trainer.model, trained)
                    compare_forecast(run, dataset, trainer.model, expected, artifact)
                    evaluation = stages.score_dev(run, dataset, artifact)
            if cfg["stop_after"] is None:
                final = stages.score_final(run, dataset, artifact.path, ScriptSource(run.script), evaluation)
                stages.certify_final(run, final, artifact.sha256, run.scores["dev"])
                stages.show_sample(run, evaluation)
        replicas.told(run.status)
    return run.objective, run.status


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    from pgolf.track.earlier import earlier

    return run_job(train, cfg, earlier)


if __name__ == "__main__":
    sys.exit(launch(main, sys.argv[1:]))
