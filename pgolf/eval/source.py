"""What a sealed process runs: the counted script, or, for those who prove the certificate, this package."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

# What a certificate calls the code that made its scores.
SCRIPT = "counted script"
REBUILT = "script: rebuilt"
REBUILT_OTHERWISE = "script: rebuilt, not the artifact's own settings"
PACKAGE = "package"
# The names are given: what was ordered, and the two pipes.
SERVE = "from pgolf.eval.serve import serve; facts = serve(order, questions, answers)"


@dataclass(frozen=True, slots=True)
class ScriptSource:
    """A ``train_gpt.py``, which brings its own modules and its own ``pgolf.eval.serve``; no other file of this package
    is within reach. ``label`` says so where it is not the one whose bytes were counted.
    """

    script: bytes = field(repr=False)
    label: str = SCRIPT

    program = SERVE

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.script).hexdigest()


@dataclass(frozen=True, slots=True)
class PackageSource:
    """This package as it is installed, whose bytes nobody counted. ``program`` is Python that runs in the sealed
    process; ``folders`` are further ones that it may import from.
    """

    program: str = SERVE
    folders: tuple[str, ...] = ()

    label = PACKAGE


Source = ScriptSource | PackageSource
