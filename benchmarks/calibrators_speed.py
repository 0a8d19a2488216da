"""Calibrators against their peers on the same inputs in one run; writes calibrators_speed.{json,md}.

Fitted on 10,000 rows and judged on 10,000 others, at 4 and at 100 classes; one thread, CPU seconds.
Peers are listed in `calibrators_peers.py`; those that are not installed are left out and named.

    python benchmarks/calibrators_speed.py            # about half an hour, nearly all of it peers
    python benchmarks/calibrators_speed.py --quick    # a first look: 2,000 rows, 10 classes at most
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import math
import resource
import statistics
import subprocess
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import calibrators_peers
import numpy as np
from calibrators_peers import CLASS_PEERS, SCALAR_PEERS, Fit, Sample, Scalar
from harness import RESULTS, machine, one_thread, write
from scipy.special import logsumexp, softmax

ROWS = 10_000
CLASSES = (4, 100)
SEED = {4: 22, 100: 3}
"""By number of classes: a data set whose stated logits have a log loss near 1.4, and near 6.5."""
REPEATS = 5
SLOW = 3.0
"""A contender whose first fit takes longer than this many CPU seconds is not repeated."""
EQUAL = 1e-4
"""Nats per row within which two held-out losses count as equal."""
SEEDS = 20
LIMIT = 1e-3
"""Nats by which matrix scaling may be worse than vector or temperature scaling, at most."""
SPREAD = {4: (2.1, 2.0), 100: (1.69, 1.6)}
"""By number of classes: the spread of the true logits, and of the preference for classes."""


NOTES = """
What the tables do not say by themselves:

* Ours takes the mean of a row's logits out before it scales them, because a softmax does not depend on
  it. In these data it says something. A matrix on the raw logits, as most peers fit it and as ours is
  with center=False, reaches a loss that is lower by 0.0046 at K = 4; scikit-learn's regression ends at
  ours when it gets logits without their mean. For vectors the loss is 0.003 higher at K = 4, and 0.001
  lower at K = 100.
* At K = 100, an unpenalized matrix is worse than no matrix; what helps is how much it is penalized.
* scikit-learn and netcal cut isotonic predictions at what was seen, and so state 0 and 1; one such that
  is wrong costs as much as the floor of the loss lets it.
* torch-uncertainty's gradient steps end where their number is used up; its Dirichlet calibration
  diverges at K = 100 without a penalty.
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """One contender on one input."""

    family: str
    name: str
    ours: bool
    fit_s: float
    fit_min_s: float
    predict_s: float
    ratio: float
    nll: float
    ece15: float
    repeats: int
    problem: str = ""


def class_sample(k: int, seed: int, rows: int = ROWS) -> Sample:
    """Logits whose softmax is the truth, seen through a distortion that an affine map undoes.

    Each class's evidence is overstated by a factor of its own in [1.5, 3.5], a little of the other
    classes' is mixed in, and some classes are preferred whatever the evidence.
    """
    rng = np.random.default_rng([seed, k])
    spread, preference = SPREAD.get(k, (1.9, 1.8))
    mixing = np.diag(rng.uniform(1.5, 3.5, k)) + 0.6 * rng.normal(size=(k, k)) / math.sqrt(k)
    bias = preference * rng.normal(size=k)
    truth = rng.normal(0.0, spread, (2 * rows, k))
    label = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    stated = truth @ mixing.T + bias
    return Sample(stated[:rows], label[:rows], stated[rows:], label[rows:], truth[rows:])


def scalar_sample(n: int, seed: int) -> Scalar:
    """Stated confidences of which the truth is a smooth function that is neither Platt nor beta."""
    rng = np.random.default_rng([seed, n])
    stated = np.clip(rng.beta(4.0, 1.5, 2 * n), 1e-6, 1.0 - 1e-6)
    correct = (rng.random(2 * n) < 0.15 + 0.65 * stated**1.5).astype(np.float64)
    return Scalar(stated[:n], correct[:n], stated[n:], correct[n:])


def log_loss(probs: np.ndarray, label: np.ndarray) -> float:
    """Mean of -ln of the label's probability, in nats; a probability below 1e-15 counts as that."""
    chosen = probs[np.arange(label.size), label] / probs.sum(axis=1)
    return float(-np.log(np.maximum(chosen, 1e-15)).mean())


def judged(probs: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Held-out log loss and ECE with 15 bins, of class probabilities or of confidences."""
    from levelhead.metrics import ece, top_label_ece

    probs = np.asarray(probs, dtype=np.float64)
    if probs.ndim == 1:
        both = np.stack([1.0 - probs, probs], axis=1)
        return log_loss(both, label.astype(np.int64)), ece(probs, label, n_bins=15)
    probs = probs / probs.sum(axis=1, keepdims=True)
    return log_loss(probs, label), top_label_ece(probs, label, n_bins=15)


def our_class_fits() -> dict[tuple[str, str], Callable[[Sample], Fit]]:
    """Our calibrators of class logits as a user calls them, by family and name."""
    from levelhead.calibrators.classes import (
        ClassTemperatureScaling,
        MatrixScaling,
        VectorScaling,
    )

    def of(make: Callable[[], Any]) -> Callable[[Sample], Fit]:
        def fit(sample: Sample) -> Fit:
            return make().fit(sample.fit, sample.fit_label).predict

        return fit

    return {
        ("temperature", "levelhead"): of(ClassTemperatureScaling),
        ("vector", "levelhead"): of(VectorScaling),
        ("matrix", "levelhead, penalty chosen by itself"): of(MatrixScaling),
        ("matrix", "levelhead, penalty chosen by itself, center=False"): of(
            lambda: MatrixScaling(center=False)
        ),
        ("matrix", "levelhead, no penalty"): of(
            lambda: MatrixScaling(penalty=0.0, fallback="none")
        ),
    }


def our_scalar_fits() -> dict[tuple[str, str], Callable[[Scalar], Fit]]:
    """Our calibrators of a confidence, by family and name."""
    from levelhead.calibrators import scaling, stepwise

    makers = {
        "temperature": scaling.TemperatureScaling,
        "Platt": scaling.PlattScaling,
        "beta": scaling.BetaCalibration,
        "isotonic": stepwise.IsotonicCalibration,
        "histogram": lambda: stepwise.HistogramBinning(n_bins=15, bins="width"),
    }

    def of(make: Callable[[], Any]) -> Callable[[Scalar], Fit]:
        return lambda sample: make().fit(sample.fit, sample.fit_label).predict

    return {(family, "levelhead"): of(make) for family, make in makers.items()}


def timed(fit: Callable[[Any], Fit], sample: Sample | Scalar) -> tuple[float, float, np.ndarray]:
    """CPU seconds to fit and to predict, and the predictions for the held-out rows."""
    gc.collect()
    start = time.process_time()
    predict = fit(sample)
    middle = time.process_time()
    probs = predict(sample.held)
    return middle - start, time.process_time() - middle, np.asarray(probs)


def race(fits: dict[tuple[str, str], Callable[[Any], Fit]], sample: Any) -> list[Row]:
    """Every contender in turn, again and again, after one run that warms up and is judged."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    spent: dict[tuple[str, str], list[tuple[float, float]]] = {}
    problems: dict[tuple[str, str], str] = {}
    warm: dict[tuple[str, str], float] = {}
    for key, fit in fits.items():
        try:
            seconds, predicting, probs = timed(fit, sample)
            found[key] = judged(probs, sample.held_label)
        except Exception as error:  # a peer may fail in any way, and the table says so
            problems[key] = f"{type(error).__name__}: {error}".splitlines()[0][:120]
            continue
        warm[key] = seconds
        spent[key] = [] if seconds <= SLOW else [(seconds, predicting)]
        print(f"  {key[0]} {key[1]}: {seconds:.3f} s, {found[key][0]:.4f}", flush=True)
    for _ in range(REPEATS):
        for key in found:
            if warm[key] <= SLOW:
                spent[key].append(timed(fits[key], sample)[:2])
    reference = {f: spent[f, n] for f, n in reversed(list(found)) if n.startswith("levelhead")}
    rows: list[Row] = []
    for (family, name), runs in spent.items():
        ours = name.startswith("levelhead")
        fitting = [run[0] for run in runs]
        ratios = [
            a[0] / b[0] for a, b in zip(runs, reference.get(family, runs), strict=False) if b[0] > 0
        ]
        rows.append(
            Row(
                family,
                name,
                ours,
                statistics.median(fitting),
                min(fitting),
                statistics.median(run[1] for run in runs),
                statistics.median(ratios) if ratios else math.nan,
                *found[family, name],
                len(runs),
            )
        )
    nan = math.nan
    rows += [Row(*key, False, nan, nan, nan, nan, nan, nan, 0, p) for key, p in problems.items()]
    return rows


def better(row: Row, rows: list[Row], *, same_family: bool) -> list[str]:
    """The peers that fit no slower than this row of ours, at an equal or better held-out loss."""
    return [
        f"{r.name} ({r.family})" if not same_family else r.name
        for r in rows
        if not r.ours
        and not r.problem
        and (r.family == row.family) == same_family
        and r.fit_s < row.fit_s
        and r.nll <= row.nll + EQUAL
    ]


def over_seeds(k: int, seeds: int, rows: int) -> dict[str, Any]:
    """How matrix scaling ends against the simpler of its relatives, over fresh data sets."""
    fits = our_class_fits()
    names = {
        "temperature": ("temperature", "levelhead"),
        "vector": ("vector", "levelhead"),
        "matrix": ("matrix", "levelhead, penalty chosen by itself"),
    }
    losses: dict[str, list[float]] = {name: [] for name in names}
    seconds: list[float] = []
    for seed in range(100, 100 + seeds):
        sample = class_sample(k, seed, rows)
        for name, key in names.items():
            spent, _, probs = timed(fits[key], sample)
            losses[name].append(judged(probs, sample.held_label)[0])
            if name == "matrix":
                seconds.append(spent)
    excess = np.array(losses["matrix"]) - np.minimum(losses["vector"], losses["temperature"])
    return {
        "classes": k,
        "seeds": seeds,
        "mean_nll": {name: float(np.mean(values)) for name, values in losses.items()},
        "excess_max": float(excess.max()),
        "excess_mean": float(excess.mean()),
        "excess_positive": int((excess > 0).sum()),
        "matrix_fit_s_median": statistics.median(seconds),
        "matrix_fit_s_max": max(seconds),
    }


def memory_of(k: int, rows: int) -> dict[str, float]:
    """In this process, which should be a fresh one: MB that fitting matrix scaling adds."""
    fit = our_class_fits()[("matrix", "levelhead, penalty chosen by itself")]
    fit(class_sample(4, 0, 200))  # what importing and first use cost is no part of it
    sample = class_sample(k, 0, rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fit(sample)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    fit(sample)
    traced = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "data_mb": sample.fit.nbytes / 2**20,
        "resident_mb": (after - before) / 1024,
        "allocated_mb": traced / 2**20,
    }


def peak_memory(k: int, rows: int) -> dict[str, float]:
    """`memory_of` in a process of its own."""
    command = [sys.executable, __file__, "--memory", str(k), "--rows", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def race_lines(rows: list[Row], unit: float = 1e3, name: str = "ms") -> list[str]:
    """One table, and below it what it says of the claim."""
    lines = [
        f"| family | contender | fit, {name}: median | least | predict | ratio | held-out NLL | "
        "ECE15 | repeats |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in sorted(rows, key=lambda r: r.family):
        if r.problem:
            lines.append(f"| {r.family} | {r.name} | failed: {r.problem} | | | | | | |")
            continue
        label = f"**{r.name}**" if r.ours else r.name
        lines.append(
            f"| {r.family} | {label} | {unit * r.fit_s:.2f} | {unit * r.fit_min_s:.2f} | "
            f"{unit * r.predict_s:.2f} | {r.ratio:.2f} | {r.nll:.4f} | {r.ece15:.4f} | {r.repeats} |"
        )
    lines.append("")
    for r in (r for r in rows if r.ours):
        same = better(r, rows, same_family=True)
        other = better(r, rows, same_family=False)
        lines.append(
            f"* {r.family}, {r.name}: "
            + (
                f"**faster at an equal or better loss: {', '.join(same)}**"
                if same
                else "no peer of"
            )
            + ("" if same else " the family is faster at an equal or better held-out loss")
            + (f"; of another family: {', '.join(other)}." if other else "; nor of another family.")
        )
    return [*lines, ""]


def markdown(content: dict[str, Any], races: dict[str, list[Row]]) -> str:
    """The report."""
    where = content["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    lines = [
        "# Calibrators: speed and held-out loss",
        "",
        f"{where['date']}, {where['processor']}, one thread; {versions}",
        "",
        f"CPU seconds of the process; every contender in turn, {REPEATS} times after a warm-up",
        f"(only once where that one takes more than {SLOW:.0f} s). Ratio: median over the",
        "repeats of the contender's fit over our first row of the family. NLL in nats per held-out",
        f"row; two within {EQUAL} count as equal. Every peer is called through its public interface",
        "with the input that it takes: logits where it can, probabilities otherwise.",
        NOTES,
    ]
    if content["left_out"]:
        lines += [f"Not installed and left out: {', '.join(content['left_out'])}.", ""]
    for title, rows in races.items():
        lines += [f"## {title}", ""]
        if title in content["floor"]:
            raw, truth = content["floor"][title]
            lines += [
                f"As stated: NLL {raw[0]:.4f}, ECE15 {raw[1]:.4f}. The truth: NLL {truth[0]:.4f}, "
                f"ECE15 {truth[1]:.4f}.",
                "",
            ]
        lines += race_lines(rows)
    lines += ["## Matrix scaling against its simpler relatives", ""]
    for s in content["over_seeds"]:
        met = "met" if s["excess_max"] <= LIMIT else "**missed**"
        losses = ", ".join(f"{name} {value:.4f}" for name, value in s["mean_nll"].items())
        lines.append(
            f"* K = {s['classes']}, {s['seeds']} data sets: mean held-out NLL {losses}; matrix minus "
            f"the better of the others at most {s['excess_max']:+.5f} (mean {s['excess_mean']:+.5f}, "
            f"above 0 in {s['excess_positive']}); at most {LIMIT} wanted: {met}. Fit "
            f"{s['matrix_fit_s_median']:.2f} s, at most {s['matrix_fit_s_max']:.2f} s."
        )
    m = content["memory"]
    lines += [
        "",
        f"Peak memory of that fit at K = {m['classes']}: {m['allocated_mb']:.0f} MB allocated beyond "
        f"the data ({m['data_mb']:.0f} MB).",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--memory", type=int, help="only print the memory of a fit of so many classes"
    )
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    arguments = parser.parse_args()
    one_thread()
    warnings.simplefilter("ignore")
    rows = 2_000 if arguments.quick else arguments.rows
    if arguments.memory:
        print(json.dumps(memory_of(arguments.memory, rows)))
        return
    left_out = calibrators_peers.left_out()
    calibrators_peers.settle()
    sizes = (4, 10) if arguments.quick else CLASSES
    races: dict[str, list[Row]] = {}
    floor: dict[str, Any] = {}
    for k in sizes:
        title = f"Class logits, K = {k}, {rows:,} rows"
        print(title, flush=True)
        sample = class_sample(k, SEED.get(k, 0), rows)
        shown = (softmax(sample.held, axis=1), softmax(sample.truth, axis=1))
        floor[title] = [judged(p, sample.held_label) for p in shown]
        # Stated logits can put a label below any floor: their loss is taken in logits.
        raw = logsumexp(sample.held, axis=1) - sample.held[np.arange(rows), sample.held_label]
        floor[title][0] = (float(raw.mean()), floor[title][0][1])
        races[title] = race({**our_class_fits(), **CLASS_PEERS}, sample)
    for n in (1_000, 10_000) if arguments.quick else (10_000, 1_000_000):
        title = f"One confidence, {n:,} rows"
        print(title, flush=True)
        races[title] = race({**our_scalar_fits(), **SCALAR_PEERS}, scalar_sample(n, 0))
    k = sizes[-1]
    content: dict[str, Any] = {
        "machine": machine(("scipy", *calibrators_peers.PACKAGES)),
        "left_out": left_out,
        "races": {t: [dataclasses.asdict(r) for r in found] for t, found in races.items()},
        "floor": floor,
        "over_seeds": [
            over_seeds(k, 3 if arguments.quick else arguments.seeds, rows) for k in sizes
        ],
        "memory": {"classes": k, **peak_memory(k, rows)},
    }
    text = markdown(content, races)
    print(text)
    write("calibrators_speed_quick" if arguments.quick else "calibrators_speed", content)
    if not arguments.quick:
        (RESULTS / "calibrators_speed.md").write_text(text)


if __name__ == "__main__":
    main()
