"""lm-evaluation-harness: `samples_*.jsonl`, as `--log_samples` writes them.

Multiple choice: the softmax over the options' log-likelihoods is the distribution, its maximum the
confidence, and the answer is right if that option is the target. Generation: the confidence is
parsed from the text of each sample. New versions of the harness write log-likelihoods and targets
as strings, old ones as numbers; both are read. A file repeats every document once per filter: one
filter is read.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from levelhead.errors import RecordError
from levelhead.readers._base import Head, Reader, ReadLog, ReadOptions
from levelhead.readers._columns import as_label, grade
from levelhead.readers._files import reading, show
from levelhead.readers._json import json_lines
from levelhead.readers._logs import LogRows, number
from levelhead.readers._remote import AnyPath
from levelhead.records import Predictions

__all__ = ["READER"]

_SAMPLE = frozenset({"doc_id", "doc", "target", "arguments", "resps"})
_FIXED = _SAMPLE | {"filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash", "target_hash"}
_CORRECTNESS = ("exact_match", "acc", "em", "exact", "accuracy", "correct")
_NORMALIZED = "acc_norm"

_PLAIN = (
    "the confidence is the largest softmax probability over the options' log-likelihoods (as for "
    "acc; --scorer acc_norm normalizes by length, which gives other probabilities and another acc)"
)
_PER_BYTE = (
    "the confidence is the largest softmax probability over the options' log-likelihoods per byte "
    "(as for acc_norm)"
)


class _Samples(LogRows):
    """The rows of one samples file and what was decided about it."""

    def __init__(self, path: AnyPath, options: ReadOptions, log: ReadLog) -> None:
        super().__init__(path, options, log)
        self.filter: str | None = None
        self.metric: str | None = None
        self.skipped: dict[str, None] = {}
        self.metrics: dict[str, None] = {}
        self.disagree = 0
        self.first_disagreement: int | None = None

    @property
    def normalized(self) -> bool:
        return self.metric == _NORMALIZED

    def wants(self, record: Mapping[str, Any]) -> bool:
        """Whether this row belongs to the one filter that is read."""
        name = str(record.get("filter", "none"))
        known = _metrics(record)
        self.metrics.update(dict.fromkeys(known))
        if self.filter is None:
            asked = self.options.scorer
            metric, _, chosen = (asked or "").partition(",")
            if asked is not None and not chosen and metric not in known and metric != _NORMALIZED:
                metric, chosen = "", asked
            self.metric = self.metric or self.options.correct or metric or None
            if chosen and chosen != name:
                self.skipped[name] = None
                return False
            self.filter = name
        if name != self.filter:
            self.skipped[name] = None
            return False
        return True

    def check(self, ours: float | None, theirs: float | None, line: int) -> None:
        """Counts rows where the log's own metric says something else."""
        if ours is not None and theirs is not None and ours != theirs:
            self.disagree += 1
            self.first_disagreement = self.first_disagreement or line

    def finish(self) -> None:
        if self.filter is None and self.skipped:
            raise self.error(
                f"scorer: expected one of the filters {', '.join(self.skipped)} or of the metrics "
                f"{', '.join(self.metrics)}, got {self.options.scorer!r}"
            )
        if self.skipped:
            self.log.note(
                f"every document is there once per filter; read is {self.filter!r}, not "
                f"{', '.join(map(repr, self.skipped))} (choose with --scorer)"
            )
        if self.disagree:
            name = _NORMALIZED if self.normalized else "acc"
            self.log.warn(
                f"{self.path.name}: in {self.disagree} rows (first on line "
                f"{self.first_disagreement}) the most likely option does not give the log's own "
                f"{name!r}; ties or another way to normalize can do that; counted is what the "
                "log-likelihoods say"
            )


def _recognizes(head: Head) -> bool:
    if head.container not in ("json", "jsonl"):
        return False
    columns = set(head.columns)
    return columns >= _SAMPLE or _is_aggregate(columns)


def _is_aggregate(columns: set[str]) -> bool:
    return columns >= {"results", "versions"} and bool(columns & {"configs", "n-shot", "config"})


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    _refuse_aggregate(path)
    rows = _Samples(path, options, log)
    for line, record in json_lines(path):
        missing = sorted(_SAMPLE - set(record))
        if missing:
            raise rows.error(
                f"expected the fields of a sample, got none named {missing[0]!r}", line
            )
        if not rows.wants(record):
            continue
        responses = record.get("filtered_resps", record["resps"])
        if not isinstance(responses, list) or not responses:
            raise rows.error("resps: expected a list with at least one response", line)
        if _is_loglikelihood(responses[0]):
            yield from _choice(rows, record, responses, line)
        else:
            yield from _generation(rows, record, line)
    rows.finish()
    yield from rows.rest()


def _refuse_aggregate(path: AnyPath) -> None:
    """The results file holds averages only, and is one indented object: its first line says so."""
    with reading(path), path.open("rb") as file:
        start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n{")
    if start.lstrip().startswith((b'"results"', b'"config_general"')):
        raise RecordError(
            "this is the results file of lm-evaluation-harness, which holds averages only; run it "
            "with --log_samples and pass the samples_*.jsonl files",
            show(path),
        )


def _metrics(record: Mapping[str, Any]) -> list[str]:
    named = record.get("metrics")
    if isinstance(named, list):
        return [str(name) for name in named]
    return [name for name in record if name not in _FIXED]


def _is_loglikelihood(response: Any) -> bool:
    """[loglik, is_greedy], as numbers or as the strings that new versions write."""
    return (
        isinstance(response, list)
        and len(response) == 2
        and number(response[0]) is not None
        and (isinstance(response[1], bool) or str(response[1]) in ("True", "False"))
    )


def _ids(record: Mapping[str, Any]) -> dict[str, Any]:
    doc = record.get("doc")
    return {
        "prompt_id": record.get("doc_hash") or record["doc_id"],
        "slices": [record, doc] if isinstance(doc, Mapping) else [record],
    }


# --- multiple choice ---------------------------------------------------------------------------


def _choice(
    rows: _Samples, record: Mapping[str, Any], responses: list[Any], line: int
) -> Iterator[Predictions]:
    logliks: list[float] = []
    for response in responses:
        value = number(response[0]) if isinstance(response, list) and response else None
        if value is None or value == math.inf:
            raise rows.error("filtered_resps: expected [log-likelihood, is_greedy] pairs", line)
        logliks.append(value)
    arguments = _arguments(record["arguments"], len(logliks), rows, line)
    keep = _conditional(arguments)
    logliks = [logliks[i] for i in keep]
    arguments = [arguments[i] for i in keep]
    if len(logliks) < 2:
        raise rows.error(
            "expected the log-likelihoods of at least two options, got one: a task of type "
            "loglikelihood has no distribution over answers, so no confidence",
            line,
        )
    texts = [continuation for _, continuation in arguments]
    if rows.normalized:
        logliks = _by_bytes(logliks, texts, rows, line)
    rows.log.note(_PER_BYTE if rows.normalized else _PLAIN)
    probs = _softmax(logliks)
    metric = _NORMALIZED if rows.normalized else "acc"
    theirs = _as_zero_one(record.get(metric))
    candidates = _targets(record["target"], texts, rows, line, known=theirs is not None)
    best = None if probs is None else max(range(len(probs)), key=probs.__getitem__)
    index, label = _judge(best, candidates, theirs)
    rows.check(label, theirs, line)
    yield from rows.add(
        confidence=None if probs is None else max(probs),
        label=label,
        status="missing" if probs is None else "ok",
        provenance="missing" if probs is None else "computed",
        line=line,
        answer=None if best is None else texts[best].strip(),
        prompt=arguments[0][0],
        probs=probs,
        target_index=index,
        **_ids(record),
    )


def _arguments(value: Any, n: int, rows: LogRows, line: int) -> list[tuple[str, str]]:
    """(context, continuation) of every request: a list in old versions, named in new ones."""
    if isinstance(value, Mapping):
        found = [value.get(f"gen_args_{i}") for i in range(len(value))]
        pairs = [(a.get("arg_0"), a.get("arg_1")) if isinstance(a, Mapping) else () for a in found]
    else:
        found = value if isinstance(value, list) else []
        pairs = [tuple(a) if isinstance(a, list) else () for a in found]
    good = [(p[0], p[1]) for p in pairs if len(p) >= 2 and isinstance(p[1], str)]
    if len(good) != n or len(pairs) != n:
        raise rows.error(
            f"arguments: expected a context and a continuation for each of {n} responses, got "
            f"{len(good)}",
            line,
        )
    return [(str(context), continuation) for context, continuation in good]


def _conditional(arguments: Sequence[tuple[str, str]]) -> list[int]:
    """Which requests have a context; acc_mutual_info adds each option once more without one."""
    with_context = [i for i, (context, _) in enumerate(arguments) if context]
    if 2 * len(with_context) == len(arguments):
        return with_context
    return list(range(len(arguments)))


def _by_bytes(
    logliks: Sequence[float], texts: Sequence[str], rows: LogRows, line: int
) -> list[float]:
    lengths = [len(text.encode("utf-8", "surrogatepass")) for text in texts]
    if 0 in lengths:
        raise rows.error("acc_norm: expected options of at least one byte", line)
    return [value / length for value, length in zip(logliks, lengths, strict=True)]


def _softmax(logliks: Sequence[float]) -> list[float] | None:
    """The distribution over the options; None where a log-likelihood is NaN or all are -inf."""
    top = max(logliks)
    if any(math.isnan(v) for v in logliks) or top == -math.inf:
        return None
    weights = [math.exp(v - top) for v in logliks]
    total = math.fsum(weights)
    return [w / total for w in weights]


def _targets(
    target: Any, texts: Sequence[str], rows: LogRows, line: int, *, known: bool
) -> list[frozenset[int]]:
    """Readings of the target as a set of right options, the likeliest reading first.

    `"3"` is the index 3 or the option that reads `3`: the harness writes indices as strings.
    """
    if isinstance(target, str) and target.startswith("["):
        with contextlib.suppress(ValueError):
            target = json.loads(target)
    several = target if isinstance(target, list) else [target]
    readings: list[frozenset[int]] = []
    indices = [_index(t) for t in several]
    if several and all(i is not None and 0 <= i < len(texts) for i in indices):
        readings.append(frozenset(i for i in indices if i is not None))
    wanted = {str(t).strip() for t in several}
    matches = [i for i, text in enumerate(texts) if text.strip() in wanted]
    if matches and (len(matches) < len(texts) or len(several) > 1):
        readings.append(frozenset(matches))
    if not readings and not (known and all(i is None for i in indices)):
        raise rows.error(
            f"target: expected the index (0 to {len(texts) - 1}) or the text of one of the "
            f"options, got {target!r:.80}",
            line,
        )
    return readings


def _index(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    try:
        return int(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _judge(
    best: int | None, readings: Sequence[frozenset[int]], theirs: float | None
) -> tuple[int | None, float | None]:
    """(index of the target, correctness) by the reading that agrees with the log, or the first."""
    if best is None or not readings:
        return (min(readings[0]) if readings else None), theirs
    for right in readings:
        if theirs is None or float(best in right) == theirs:
            return min(right), float(best in right)
    return min(readings[0]), float(best in readings[0])


def _as_zero_one(value: Any) -> float | None:
    got = float(value) if isinstance(value, bool) else number(value)
    return got if got in (0.0, 1.0) else None


# --- generation --------------------------------------------------------------------------------


def _generation(rows: _Samples, record: Mapping[str, Any], line: int) -> Iterator[Predictions]:
    samples = record["resps"]
    while isinstance(samples, list) and len(samples) == 1 and isinstance(samples[0], list):
        samples = samples[0]
    if not isinstance(samples, list) or not all(isinstance(s, str) for s in samples) or not samples:
        raise rows.error("resps: expected a list of generated texts", line)
    alone = len(samples) == 1
    if alone:
        label = _metric_label(rows, record, line)
    else:
        label = None
        rows.log.note(
            "each document has several samples; the log's metric belongs to what the filter made "
            "of them, so each sample's answer is compared with the target instead"
        )
    ids = _ids(record)
    for text in samples:
        parsed = rows.text(text)
        if not alone:
            answer = parsed["answer"]
            label = grade(text.strip() if answer is None else answer, record["target"])
        yield from rows.add(
            **parsed, label=label, line=line, prompt=_context(record["arguments"]), **ids
        )


def _metric_label(rows: _Samples, record: Mapping[str, Any], line: int) -> float | None:
    known = _metrics(record)
    if rows.metric is None:
        likely = [name for name in _CORRECTNESS if name in known] or known
        if len(likely) != 1 and likely[:1] != ["exact_match"]:
            raise rows.error(
                "correctness: it is not clear which of the metrics "
                f"{', '.join(known) or 'none'} holds it; choose with --scorer",
                line,
            )
        rows.metric = likely[0]
        rows.log.note(f"correctness is read from {rows.metric!r}")
    if rows.metric not in record:
        raise rows.error(
            f"scorer: expected one of the metrics {', '.join(known)}, got {rows.metric!r}", line
        )
    return as_label(record[rows.metric], name=rows.metric, path=show(rows.path), line=line)


def _context(arguments: Any) -> str | None:
    first = arguments.get("gen_args_0") if isinstance(arguments, Mapping) else arguments
    while isinstance(first, list) and first:
        first = first[0]
    if isinstance(first, Mapping):
        first = first.get("arg_0")
    return first if isinstance(first, str) else None


READER = Reader(
    name="lm_eval",
    description="lm-evaluation-harness samples (--log_samples): multiple choice and generation",
    recognizes=_recognizes,
    read=_read,
)
