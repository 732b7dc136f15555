"""Read the words of a command line, and say of one that cannot be read where it breaks and how it is written.

Hydra reads ``key=value`` by a grammar in which many characters of ordinary file names and sentences must stand in
quotes. Its own messages are those of a lexer; these here name the character and give the word as a shell takes it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from antlr4 import CommonTokenStream, InputStream
from antlr4.error.ErrorListener import ErrorListener
from hydra.core.override_parser import overrides_parser, overrides_visitor
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from hydra.grammar.gen.OverrideLexer import OverrideLexer
from hydra.grammar.gen.OverrideParser import OverrideParser

from pgolf.core.command import encoding_problems, home
from pgolf.core.errors import ConfigError

_FORM = "a word is key=value, group=option or ~key"


def parse(words: Sequence[str]) -> list[Override]:
    """The words as Hydra reads them. Raises ConfigError listing every word that cannot be read."""
    problems = [problem for word in words for problem in encoding_problems(word)]
    if problems:
        raise ConfigError(problems)
    _restore_asserts()
    parser, overrides = OverridesParser.create(), []
    for word in words:
        try:
            (override,) = parser.parse_overrides([word])
        except HydraException as error:
            problems.append(_problem(word, error))
        else:
            if override.key_or_group:
                overrides.append(override)
            else:  # Hydra's grammar takes "=1"
                problems.append(_no_assignment(word))
    if problems:
        raise ConfigError(problems)
    return overrides


def quoted(text: str) -> str:
    """``text`` as a value that Hydra and OmegaConf read as just that text."""
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # else an interpolation
    return QuotedString(literal, Quote.double).with_quotes()


def shell_word(word: str) -> str:
    """``word`` for a POSIX shell, as a person would write it."""
    if re.fullmatch(r"[\w@%+=:,./-]+", word, re.ASCII):
        return word
    if "'" not in word:
        return f"'{word}'"
    return shlex.quote(word) if re.search(r"[!`$\\]", word) else '"' + word.replace('"', '\\"') + '"'


def unquoted(value: str) -> str:
    """The text of a value that is quoted as for Hydra; any other value as it is."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        try:
            return str(OverridesParser.create().parse_override(f"value={value}").value())
        except HydraException:
            return value
    return value


def place(value: str) -> Path:
    """A path word: quotes as for Hydra are taken off, ``~`` is the home folder."""
    return home(unquoted(value))


def _problem(word: str, error: HydraException) -> str:
    key, equals, value = word.partition("=")
    if not equals:
        return _no_assignment(word)
    at = _breaks_at(word)
    if at is not None and at < len(key):
        return f"{word}: {word[at]!r} at character {at + 1} cannot stand in a key; {_FORM}"
    if at is None:  # the form is right, a function or a blank value is not
        why = next((line for line in str(error).splitlines() if line and not line.startswith("Error parsing")), "")
        reason = f"reads as a function: {why.rpartition(': ')[2]}" if "while evaluating" in why else why
    elif at >= len(word):
        reason = f"breaks off at its end, after {word[-1]!r}"
    else:
        reason = f"{word[at]!r} at character {at + 1} cannot stand there unquoted"
    return f"{word}: {reason}. As a text: {shell_word(f'{key}={_as_texts(value)}')}"


def _no_assignment(word: str) -> str:
    return f"{word or 'an empty word'}: cannot be read; {_FORM}"


def _as_texts(value: str) -> str:
    """The value quoted; of a list in brackets, its items."""
    if value.startswith("[") and value.endswith("]"):
        return "[" + ",".join(quoted(item.strip().strip("'\"")) for item in value[1:-1].split(",") if item) + "]"
    return quoted(value)


class _FirstError(ErrorListener):
    """Keeps the index of the first character at which the grammar breaks."""

    def __init__(self, word: str) -> None:
        self.starts = [0, *(match.end() for match in re.finditer("\n", word))]
        self.at: int | None = None

    def syntaxError(self, recognizer: Any, symbol: Any, line: int, column: int, msg: str, e: Any) -> None:
        if self.at is None:
            self.at = self.starts[line - 1] + column


def _breaks_at(word: str) -> int | None:
    """The index of the character at which Hydra's grammar breaks; None where it does not."""
    listener = _FirstError(word)
    lexer = OverrideLexer(InputStream(word))
    parser = OverrideParser(CommonTokenStream(lexer))
    for recognizer in (lexer, parser):
        recognizer.removeErrorListeners()
        recognizer.addErrorListener(listener)
    parser.override()
    return listener.at


def _restore_asserts() -> None:
    """Under ``python -O``, give Hydra's visitor its asserts back: two of them take the step that they check."""
    if __debug__ or getattr(overrides_parser, "_pgolf_asserts", False):
        return
    path = Path(str(overrides_visitor.__file__))
    namespace: dict[str, Any] = {"__name__": overrides_visitor.__name__}
    exec(compile(path.read_text(), path, "exec", dont_inherit=True, optimize=0), namespace)
    vars(overrides_parser).update(HydraOverrideVisitor=namespace["HydraOverrideVisitor"], _pgolf_asserts=True)
