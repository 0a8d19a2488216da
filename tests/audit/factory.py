"""Results of audits as an audit would fill them, from simulated predictions, with hostile texts.

The numbers are computed here, plainly and without the package's metrics, so that the tests of the
charts and of the report depend on nothing but the result's types.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from levelhead.audit.result import (
    AuditResult,
    Comparison,
    ComparisonRow,
    ConfidentError,
    Histogram,
    MetricRow,
    ModelAudit,
    NullRow,
    Reliability,
    RiskCoverage,
    SensitivityRow,
    SliceRow,
    TrustCurve,
    Verdict,
)

SCRIPT = "<script>alert(1)</script>"
BREAKOUTS = (
    SCRIPT,
    "</title></style></svg><img src=x onerror=alert(2)>",
    '"><svg onload=alert(3)>',
    "{{ 7 * 7 }}{% raw %}",
)
LONG = "All work and no proof makes a confident model. " * 213  # 10,011 characters
UNBROKEN = "x" * 3000
EMOJI = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 sure! \U0001f44d\U0001f3fd"
RTL = "\u05d0\u05d1\u05d2\u05d3 \u202e drawkcab \u0627\u0644\u062c\u0648\u0627\u0628 42"
CONTROL = "a\x00b\x1bc\ud800d"


def two_models(*, hostile: bool = True) -> AuditResult:
    """A calibrated baseline and an overconfident model on the same items."""
    base = model("base", seed=1, sharpen=1.0, hostile=hostile)
    tuned = model("tuned-no-std", seed=2, sharpen=6.0, hostile=hostile)
    tuned = dataclasses.replace(
        tuned, warnings=["bin 1 holds only 4 records", SCRIPT][: 1 + hostile]
    )
    return AuditResult(
        models=[base, tuned],
        comparisons=[comparison(base, tuned)],
        convention={
            "name": "levelhead",
            "n_bins": 10,
            "bins": "width",
            "closed": "right",
            "missing": "assert",
            "description": "10 right-closed bins of equal width",
        },
        level=0.95,
        n_boot=1000,
        seed=0,
        created="2026-01-02T03:04:05+00:00",
        levelhead_version="0.1.0",
        notes=["column 'conf' read as the confidence", *(BREAKOUTS if hostile else ())],
    )


def one_model(**changes: object) -> AuditResult:
    """The overconfident model alone, with the fields of its audit replaced as given."""
    both = two_models(hostile=False)
    alone = dataclasses.replace(both.models[1], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(both, models=[alone], comparisons=[])


def undefined() -> AuditResult:
    """Three records, all right: half of what a report shows does not exist."""
    nothing = [dataclasses.replace(r, value=None, low=None, high=None) for r in metric_rows(0.1)]
    return one_model(
        metrics=nothing,
        null=None,
        n_prompts=None,
        reliability=Reliability([0.9], [1.0], [3.0], [0.95], [1.0], [float("nan")], [float("nan")]),
        histogram=Histogram([0.0, 0.5, 1.0], [0.0, 3.0], [0.0, 0.0]),
        risk_coverage=RiskCoverage([1.0], [0.0]),
        trust_curve=TrustCurve([0.0, 0.5], [0.9, 0.8], [None, None], [None, None]),
        sensitivity=[],
        slices=[],
        confident_errors=[],
        warnings=[],
        verdict=Verdict("inconclusive", "Too few data for a verdict: ECE undefined", ()),
    )


def model(name: str, *, seed: int, sharpen: float, hostile: bool) -> ModelAudit:
    """One model on 5,608 simulated records; `sharpen` > 1 makes it overconfident."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(2.2, 1.3, 5608)
    correct = (rng.random(5608) < truth).astype(float)
    logit = sharpen * np.log(truth / (1 - truth)) + (0.8 if sharpen > 1 else 0.0)
    confidence = np.round(np.clip(1 / (1 + np.exp(-logit)), 0.01, 0.99), 2)
    over = sharpen > 1
    curve = reliability(confidence, correct)
    gap = float(confidence.mean() - correct.mean())
    ece = float(np.dot(curve.count, np.abs(np.subtract(curve.confidence, curve.accuracy))) / 5608)
    word = "Overconfident" if over else "Calibrated as far as these data can tell"
    return ModelAudit(
        name=name,
        files=[f"predictions/{name}/part-{i:05d}.parquet" for i in range(8 if over else 1)],
        kind="answer",
        n_records=5608,
        n_scored=5608,
        n_prompts=1402,
        streamed=False,
        status_counts={"ok": 5607, "unparsable": 1} if over else {"ok": 5608},
        provenance_counts={"parsed": 5607, "missing": 1} if over else {"parsed": 5608},
        n_unlabelled=0,
        verdict=Verdict(
            "overconfident" if over else "calibrated",
            f"{word}: says {confidence.mean():.0%} on average, is right {correct.mean():.0%} of the "
            f"time; ECE {ece:.3f} [{ece - 0.012:.3f}, {ece + 0.012:.3f}], 0.013 would be expected by "
            "chance",
            (
                "When it is wrong it still says 64% on average; 31% of its errors are stated at 90% "
                "or more.",
                "Trustworthiness is 0.12 [0.09, 0.15] (1 is perfect, 0 is silence): acting on its "
                "confidence is better than not asking it.",
            ),
        ),
        metrics=metric_rows(ece, gap, float(confidence.mean()), float(correct.mean())),
        null=NullRow(0.013, 0.019, ece - 0.013, 0.0004 if over else 0.21),
        reliability=curve,
        histogram=histogram(confidence, correct),
        risk_coverage=risk_coverage(confidence, correct),
        trust_curve=trust_curve(confidence, correct),
        sensitivity=[
            SensitivityRow(n, bins, closed, ece + 0.001 * n * (closed == "left"))
            for bins, closed in (("width", "right"), ("width", "left"), ("mass", "right"))
            for n in (10, 15, 20)
        ],
        slices=slices(hostile) if over else slices(False)[:3],
        confident_errors=errors(hostile) if over else errors(False)[:2],
        warnings=["7 prompts have one sample only"],
    )


def metric_rows(
    ece: float, gap: float = 0.1, says: float = 0.8, right: float = 0.7
) -> list[MetricRow]:
    """A row in every group; one is undefined, one has a value on the parsed records only."""
    row = MetricRow
    return [
        row("ece", "Expected calibration error", "calibration", "answer", ece, ece - 0.012,
            ece + 0.012, "lower", ece - 0.0002),
        row("over_ece", "Overconfident part of the ECE", "calibration", "answer", 0.00012, 0.0, 0.02,
            "lower"),
        row("smooth_ece", "Smooth ECE", "calibration", "answer", 0.9 * ece, None, None, "lower"),
        row("mean_confidence", "Mean confidence", "overconfidence", "answer", says, says - 0.01,
            says + 0.01),
        row("accuracy", "Accuracy", "overconfidence", "answer", right, right - 0.01, right + 0.01,
            "higher"),
        row("overconfidence", "Overconfidence (confidence − accuracy)", "overconfidence", "answer",
            gap, gap - 0.01, gap + 0.01),
        row("errors_at_90", "Errors stated at 90% or more", "overconfidence", "answer", 0.31, 0.28,
            0.34, "lower"),
        row("brier", "Brier score", "scores", "answer", 0.213, 0.205, 0.221, "lower"),
        row("brier_skill", "Brier skill", "scores", "answer", -0.0341, -0.05, 0.01, "higher"),
        row("auroc", "AUROC", "selective", "answer", 0.731, 0.717, 0.745, "higher"),
        row("coverage_at_risk", "Coverage at 5% risk", "selective", "answer", None, None, None,
            "higher"),
        row("trust", "Trustworthiness", "trust", "answer", 0.124, 0.092, 0.155, "higher"),
    ]  # fmt: skip


def reliability(confidence: np.ndarray, correct: np.ndarray) -> Reliability:
    """Ten right-closed bins with normal intervals, by a loop."""
    columns: list[list[float]] = [[], [], [], [], [], [], []]
    for k in range(10):
        inside = (confidence > k / 10) & (confidence <= (k + 1) / 10)
        n = int(inside.sum())
        if n == 0:
            continue
        right = float(correct[inside].mean())
        half = 1.96 * float(np.sqrt(max(right * (1 - right), 0.01) / n))
        values = (k / 10, (k + 1) / 10, n, float(confidence[inside].mean()), right)
        for column, value in zip(
            columns, (*values, max(right - half, 0.0), min(right + half, 1.0)), strict=True
        ):
            column.append(float(value))
    return Reliability(*columns)


def histogram(confidence: np.ndarray, correct: np.ndarray) -> Histogram:
    edges = np.linspace(0, 1, 21)
    right = np.histogram(confidence[correct == 1], edges)[0]
    wrong = np.histogram(confidence[correct == 0], edges)[0]
    return Histogram(edges.tolist(), right.astype(float).tolist(), wrong.astype(float).tolist())


def risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> RiskCoverage:
    levels = np.unique(confidence)[::-1]
    kept = [confidence >= level for level in levels]
    return RiskCoverage(
        [float(k.mean()) for k in kept], [float(1 - correct[k].mean()) for k in kept]
    )


def trust_curve(confidence: np.ndarray, correct: np.ndarray) -> TrustCurve:
    stakes = np.round(np.linspace(0, 0.95, 20), 2)
    values = []
    for t0 in stakes:
        c = np.minimum(confidence, 0.99)
        gain = (c - t0) + (1 - correct) * np.log((1 - c) / (1 - t0))
        values.append(float(np.mean(np.where(c > t0, gain / (1 - t0), 0.0))))
    spread = 0.02 + 0.05 * stakes
    return TrustCurve(
        stakes.tolist(),
        values,
        [v - float(s) for v, s in zip(values, spread, strict=True)],
        [v + float(s) for v, s in zip(values, spread, strict=True)],
    )


def slices(hostile: bool) -> list[SliceRow]:
    names = ["professional law", "moral scenarios", "college physics", "history", "anatomy"]
    names += [f"subject {i}" for i in range(10)]
    if hostile:
        names[2:5] = [SCRIPT, UNBROKEN[:300], RTL]
    share = 0.5 ** np.arange(1, len(names) + 1)
    return [
        SliceRow(
            column="subject",
            value=name,
            n=1534 - 90 * i,
            accuracy=0.47 + 0.03 * i,
            confidence=0.88,
            gap=0.41 - 0.03 * i,
            ece=abs(0.41 - 0.03 * i) + 0.01,
            trust=-0.61 + 0.07 * i,
            damage=float(part),
            gap_low=0.38 - 0.03 * i,
            gap_high=None if i == 4 else 0.44 - 0.03 * i,
        )
        for i, (name, part) in enumerate(zip(names, share, strict=True))
    ]


def errors(hostile: bool) -> list[ConfidentError]:
    texts = ["The answer follows from the second law.", "Paris has been the capital since 508."]
    if hostile:
        texts += [SCRIPT, LONG, UNBROKEN, EMOJI, RTL, CONTROL]
    texts += ["It must be (B)."]
    return [
        ConfidentError(
            confidence=0.99 - 0.001 * i,
            said=("B", "(C) entropy decreases")[i % 2],
            truth="D",
            prompt_id=f"mmlu/law/{i}",
            location=f"predictions/tuned/part-00003.parquet:{417 + i}",
            prompt="Which of the following statements about the second law is right?",
            text=text,
        )
        for i, text in enumerate(texts)
    ]


def comparison(base: ModelAudit, tuned: ModelAudit) -> Comparison:
    rows = []
    for row in tuned.metrics:
        old = base.metric(row.name).value
        if row.value is None or old is None:
            rows.append(ComparisonRow(row.name, row.label, row.better, row.value, old, *[None] * 5))
            continue
        d = row.value - old
        worse = None if abs(d) < 0.01 or row.better is None else (d > 0) == (row.better == "lower")
        p = 0.31 if abs(d) < 0.01 else 0.0002
        rows.append(
            ComparisonRow(
                row.name, row.label, row.better, row.value, old, d, d - 0.01, d + 0.01, p, worse
            )
        )
    return Comparison(
        model=tuned.name,
        baseline=base.name,
        n_pairs=5608,
        n_prompts=1402,
        paired_by="prompt",
        rows=rows,
        sentence=f"{tuned.name} is worse calibrated than {base.name} by 0.21 in ECE [+0.20, +0.22]: it "
        "says 78% on average and is right 63% of the time, the other says 63% and is right 63%.",
    )
