"""From an artifact to an evaluation: the model, the tokenizer and every setting come from the one file.

The header holds config nodes (``arch``, ``eval``, ``ttt``, ``ngram``, ``mixer``), ``vocab_size``, ``bos_id``,
``metric`` and ``route``, the visit list that was active at the end of training. ``overrides`` replaces whole
nodes; what is replaced is no part of the artifact and is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pgolf.core.errors import ArtifactError, ConfigError
from pgolf.core.make import make
from pgolf.core.results import QuantizedState
from pgolf.core.vector_math import settle_vector_math
from pgolf.eval.evaluation import BESIDE, Evaluation, check_metric, names_beside
from pgolf.eval.network import FixedNetwork
from pgolf.eval.windows import check_positions
from pgolf.tokenizer.recipe import PortableTokenizer

HEADER_KEYS = ("arch", "route", "vocab_size", "bos_id", "eval", "ttt", "ngram", "mixer", "metric")
OVERRIDABLE = ("eval", "ttt", "ngram", "mixer")
BUILT = ("arch", *OVERRIDABLE)


class LoadedArtifact(Protocol):
    """What ``pgolf.artifact.container.read`` returns, as far as evaluation needs it."""

    @property
    def header(self) -> Mapping[str, Any]: ...
    @property
    def state(self) -> QuantizedState: ...
    @property
    def tokenizer_blob(self) -> bytes: ...
    @property
    def packed_blob(self) -> bytes: ...


def evaluation_from(
    loaded: LoadedArtifact, *, device: str = "cpu", overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> Evaluation:
    """Build the evaluation of an artifact, fp32 on ``device``.

    Raises ArtifactError for a header without what is needed or weights that do not fit the model, ConfigError
    for settings that cannot be built or do not go together.
    """
    from pgolf.quant.stored import dequantize_for

    settle_vector_math()
    header = _settings(loaded.header, overrides or {})
    tokenizer = _tokenizer(loaded, header)
    model = _made(header, "arch", vocab_size=header["vocab_size"], bos_id=header["bos_id"])
    if header["route"] not in model.routes:
        raise ArtifactError(
            f"artifact: route {header['route']!r} in the header; the model has {', '.join(model.routes)}"
        )
    model.load_state_dict(dequantize_for(loaded.state, model.state_dict()))
    model.use(header["route"])
    model.eval().requires_grad_(False)
    method = _made(header, "eval")
    check_metric(method, header["metric"])
    check_positions(model, method.window)
    ngram, packed = _made(header, "ngram"), None
    if "packed_bytes" in header["ngram"]:
        packed = ngram.unpack(loaded.packed_blob, header["vocab_size"])
    evaluation = Evaluation(
        FixedNetwork(model.to(device)),
        tokenizer,
        method,
        header["metric"],
        mixer=_made(header, "mixer"),
        ttt=_made(header, "ttt"),
        ngram=ngram,
        packed=packed,
        beside=_beside(header),
        device=device,
    )
    evaluation.evaluator(stream_tokens=2)  # a mixer that does not fit the experts is refused now
    return evaluation


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """See ``pgolf.eval.evaluation.Stated``."""

    name: str
    window: int
    stride: int
    official_truncation: bool


@dataclass(frozen=True, slots=True)
class ArtifactTerms:
    """See ``pgolf.eval.evaluation.Terms``."""

    tokenizer: PortableTokenizer
    method: MethodFacts
    beside: tuple[str, ...]
    metric: Literal["raw", "table"]
    device: str


def terms_from(
    loaded: LoadedArtifact, *, device: str = "cpu", overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> ArtifactTerms:
    """What a judge reads of an artifact; no technique of its settings is imported, and they need not exist here.

    Raises ArtifactError and ConfigError as ``evaluation_from``.
    """
    header = _settings(loaded.header, overrides or {})
    tokenizer, node = _tokenizer(loaded, header), header["eval"]
    try:
        window = int(node["window"])
        stride = int(node.get("stride", node.get("block", window)))  # of what is new in a window
        method = MethodFacts(
            str(node["_target_"]).split(".")[-2], window, stride, bool(node.get("official_truncation", False))
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"artifact: the header's eval is no evaluation: {node!r}") from error
    beside = _beside(header)
    check_metric(method, header["metric"])
    return ArtifactTerms(tokenizer, method, beside, header["metric"], device)


def _beside(header: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return names_beside(header)
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"artifact: the header does not say what its {', '.join(BESIDE)} are") from error


def _tokenizer(loaded: LoadedArtifact, header: Mapping[str, Any]) -> PortableTokenizer:
    from pgolf.tokenizer.blob import from_blob

    tokenizer = from_blob(loaded.tokenizer_blob)
    if (tokenizer.vocab_size, tokenizer.bos_id) != (header["vocab_size"], header["bos_id"]):
        raise ArtifactError(
            f"artifact: the header says {header['vocab_size']} ids with BOS {header['bos_id']}, its tokenizer "
            f"has {tokenizer.vocab_size} with BOS {tokenizer.bos_id}"
        )
    if tokenizer.metric != header["metric"]:
        raise ArtifactError(f"artifact: metric {header['metric']} in the header, {tokenizer.metric} in the tokenizer")
    return tokenizer


# How Python says that a call and a signature do not go together.
_OTHER_SIGNATURE = ("required keyword-only argument", "unexpected keyword argument")


def _made(header: Mapping[str, Any], key: str, **runtime: Any) -> Any:
    """Raises ArtifactError for settings, its own or those within, that what they name does not take: those of another
    pgolf."""
    try:
        return make(header[key], **runtime)
    except TypeError as error:
        if not any(words in str(error) for words in _OTHER_SIGNATURE):
            raise
        raise ArtifactError(
            f"artifact: {key} as another version of pgolf wrote it ({error}); its own train_gpt.py, counted with it, "
            "understands it, and `pgolf verify FOLDER` runs that"
        ) from error


def _settings(header: Mapping[str, Any], overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    missing = [key for key in HEADER_KEYS if key not in header]
    if missing:
        raise ArtifactError(f"artifact: the header has no {', '.join(missing)}")
    foreign = [key for key in overrides if key not in OVERRIDABLE]
    if foreign:
        raise ConfigError(f"{', '.join(foreign)}: fixed by the artifact; {', '.join(OVERRIDABLE)} can be overridden")
    settings = dict(header) | dict(overrides)
    for key in BUILT:
        _require_own(settings[key], key)
    return settings


def _require_own(node: Any, place: str) -> None:
    """Raises ArtifactError for a node, or one within it, that names what is no part of an evaluation: options of other
    groups start processes, read files or write them."""
    if not isinstance(node, Mapping):
        return
    target = node.get("_target_")
    if target is not None and (not isinstance(target, str) or target.split(".")[:1] != ["pgolf"]):
        raise ArtifactError(f"artifact: {place} names {target!r}, which is none of pgolf's")
    if target is not None and target.split(".")[1] not in BUILT:
        raise ArtifactError(f"artifact: {place} names {target!r}, an option of none of {', '.join(BUILT)}")
    for key, value in node.items():
        _require_own(value, f"{place}.{key}")
