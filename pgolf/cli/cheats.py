"""``pgolf cheats ARTIFACT``: every cheat on the shelf against one artifact. Imports stay light until it runs."""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgolf.core.command import at_least, guarded, home
from pgolf.core.errors import CertificateError, DataError

if TYPE_CHECKING:
    from pgolf.proof.profiles import Profile
    from pgolf.proof.shelf import Finding

_ROW = "{:<30} {:>10}  {:<10} {}"


def add_parser(subparsers: Any) -> None:
    """Add ``cheats`` to the command's subparsers; its handler is set as ``run``."""
    parser = subparsers.add_parser(
        "cheats",
        help="run every known cheat against an artifact; each must be caught by its probe",
        description="Scores a short text honestly, as the artifact is composed, then by its network alone with each "
        "cheat, and shows which probe catches it.",
    )
    parser.add_argument("artifact", type=home, help="path of an artifact")
    parser.add_argument("--text", type=home, help="a UTF-8 text to score (default: this package's own source)")
    parser.add_argument("--only", metavar="CHEAT", nargs="+", default=[], help="only these cheats")
    parser.add_argument(
        "--places", type=at_least(1), default=600, help="how many places each audit looks at (default: %(default)s)"
    )
    parser.add_argument(
        "--honest",
        type=at_least(1),
        metavar="TIMES",
        help="no cheats: the honest evaluation so many times, each audited at other places; all must pass",
    )
    parser.set_defaults(run=guarded("cheats", _run))


def _run(arguments: argparse.Namespace) -> None:
    """Print the table. Raises CertificateError if a cheat got away or the honest evaluation was refused."""
    from pgolf.proof.cheats import named, shelf
    from pgolf.proof.profiles import PROFILES
    from pgolf.proof.shelf import own_documents, run_shelf

    cheats = named(arguments.only, "--only") or list(shelf())
    documents = own_documents() if arguments.text is None else [_text(arguments.text)]
    profile = replace(PROFILES["smoke"], places=arguments.places)
    if arguments.honest is not None:
        _repeat(arguments.artifact, documents, profile, arguments.honest)
        return
    findings = run_shelf(arguments.artifact, documents, [None, *cheats], profile=profile, each=_print_row)
    wrong = [finding for finding in findings if not finding.as_expected]
    if wrong:
        names = ", ".join(finding.cheat.name if finding.cheat else "the honest evaluation" for finding in wrong)
        raise CertificateError(f"not judged as expected: {names}")
    print(f"{len(cheats)} of {len(cheats)} cheats caught by the probe they offend; the honest evaluation passed.")


def _repeat(artifact: Path, documents: list[str], profile: Profile, times: int) -> None:
    """Raises CertificateError where one was refused."""
    from pgolf.proof.shelf import run_shelf

    passed = 0
    for done in range(1, times + 1):
        (finding,) = run_shelf(artifact, documents, [None], profile=profile)
        passed += finding.as_expected
        if not finding.as_expected:
            print(f"{done:>6}  refused: {finding.message}", flush=True)
        elif done % 10 == 0 or done == times:
            print(f"{passed:>6} of {done} passed", flush=True)
    if passed < times:
        raise CertificateError(f"the honest evaluation was refused {times - passed} times of {times}")
    print(f"the honest evaluation passed {passed} times out of {times}")


def _print_row(finding: Finding) -> None:
    failed = ",".join(f"({probe.letter})" for probe in finding.certificate.probes if not probe.passed) or "-"
    name = finding.cheat.name if finding.cheat else "none (honest)"
    expected = f"({finding.cheat.letter}) " if finding.cheat else ""
    if finding.cheat and finding.cheat.source:
        expected = f"published, {finding.cheat.source}: {expected}"
    if finding.cheat is None:  # the first
        print(_ROW.format("cheat", "claims bpb", "caught by", "message"))
    message = textwrap.shorten(expected + finding.message, 150, placeholder=" …")
    print(_ROW.format(name, f"{finding.claimed_bpb:.4f}", failed, message), flush=True)


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from error
    if not text.strip():
        raise DataError(f"{path}: no text in it")
    return text
