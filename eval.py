"""Artifact in, certified score out: see HELP."""

from __future__ import annotations

import sys

from pgolf.config.eval_words import help_wanted
from pgolf.core.streams import harmless_streams

HELP = """Artifact in, certified score out.

    python eval.py artifact=runs/<name>/seed=1337/artifact.pgolf
    python eval.py artifact=... eval.window=256         overrides win over the artifact's header and are printed
    python eval.py artifact=... experiment=pr1026_eval  the evaluation of a published record
    python eval.py artifact=... ttt=sgd,lora,phased -m  one after another, and a table of them
    python eval.py artifact=... logger=[wandb]          mirrored in W&B, as a run of its own of job type eval
    python eval.py artifact=... data=text 'data.paths=[my/*.txt]' budget=smoke

Settings come from the artifact's header; the text to score from ``data=`` (its validation split). Settings that are
given here instead are in no bytes that anybody counted: the score is labelled so, and is not valid. The
certificate is written beside the artifact as ``certificate.eval.json``, or where ``out=`` says; of several each has its
own, with its words in the name, and the exit status is the worst.
Exit status: 0 valid, 1 something crashed, 2 configuration or input error, 3 over its time or its bytes, 4 certificate
failed, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP.
"""


def main(argv: list[str]) -> int:
    """Evaluate one artifact; returns the exit status."""
    harmless_streams()
    if help_wanted(argv):
        print(HELP)
        return 0
    from pgolf.config.eval_words import SEVERAL, read_several, read_words
    from pgolf.config.options import only_options
    from pgolf.core.command import complain
    from pgolf.core.errors import UserError
    from pgolf.core.signals import exit_status, heeding_signals
    from pgolf.core.threads import bound_spinning

    bound_spinning()
    try:
        with heeding_signals():
            only_options()
            several = read_several(argv) if set(argv) & set(SEVERAL) else {}
            words = None if several else read_words(argv)
            from pgolf.eval.sealed import check_sealed
            from pgolf.run.rescore import evaluate, evaluate_all

            check_sealed()
            return evaluate_all(several) if words is None else evaluate(words)
    except UserError as error:
        complain(error)
        return error.exit_status
    except KeyboardInterrupt as stop:
        return exit_status(stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
