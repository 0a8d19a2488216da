"""Three models of which only the errors differ: what a comparison says, and how often it is wrong.

    python benchmarks/arms_study.py            # about ten minutes

The simulated study is that of sycophancy and calibration (arXiv:2604.10585): a base model, a neutral
and a sycophantic fine-tune answer the same 1,000 questions with four options, and their logits are
judged as stated and after matrix scaling, which every question gets from the other folds. The
logits are of `tests/oracles/arms.py`: overconfident and with a preference for letters, both known.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import sys
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from harness import RESULTS, machine, one_thread, write
from scipy.special import softmax

from levelhead import metrics
from levelhead.calibrators import cross_fitted
from levelhead.calibrators.classes import MatrixScaling

STUDIES = 200
POWER_STUDIES = 50
QUESTIONS = 1000
LEVEL = 0.05
BINS = 10
COMPARED = ("ece", "mce", "accuracy")
FOUND = (0.40, 0.64)
"""By how much matrix scaling lowered the ECE in the study that is simulated."""
EFFECTS = (
    ("evidence stated 1.3 times as strongly", {"overconfidence": {"sycophantic": 1.3}}),
    ("evidence stated 1.6 times as strongly", {"overconfidence": {"sycophantic": 1.6}}),
    ("letters preferred twice as much", {"letter_bias": {"sycophantic": 2.0}}),
)


NOTES = """
What it amounts to: matrix scaling that no question was fitted for takes the ECE from 0.068 to 0.028, to
what a calibrated model of such confidences shows by chance, and raises the accuracy by 2.2 points,
because the preference for letters goes; the published range of 40% to 64% holds on average (59%), and
for half of the single arms: with 1,000 questions one study's reduction is good to some 15 points. Arms
that differ by chance are called different at the stated level and no more. A sycophantic arm whose ECE
is 0.046 higher is told apart in 94% of the studies by the ECE, but hardly by the MCE, which rests on
its thinnest bin. After scaling, 0.08 to 0.12 is 4 to 6 of the same 50 studies, within chance of 0.05.
"""
"""What the tables amount to, in sentences."""


def oracle() -> ModuleType:
    """The generator of the arms, which the tests use too."""
    path = Path(__file__).resolve().parents[1] / "tests" / "oracles" / "arms.py"
    spec = importlib.util.spec_from_file_location("levelhead_arms", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def claims(probs: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence in the most probable option, and whether that is right."""
    return probs.max(axis=1), (probs.argmax(axis=1) == target).astype(np.float64)


def readings(arm: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The claims of one arm as stated and after cross-fitted matrix scaling."""
    stated = softmax(arm.logits, axis=1)
    scaled = cross_fitted(MatrixScaling(), arm.logits, arm.target)
    return {"stated": claims(stated, arm.target), "scaled": claims(scaled, arm.target)}


def summary(said: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """What one reading of one arm amounts to."""
    test = metrics.ece_excess_test(said, right, n_bins=BINS)
    return {
        "ece": test.ece,
        "ece_by_chance": test.expected,
        "p_value": test.p_value,
        "mce": metrics.mce(said, right, n_bins=BINS, min_weight=10.0),
        "accuracy": float(right.mean()),
    }


def study(arms: ModuleType, seed: int, pairs: Any = None, **effect: Any) -> dict[str, Any]:
    """One simulated study: every arm's summaries, and the p-values of their paired differences."""
    found = {a.name: readings(a) for a in arms.three_arms(QUESTIONS, seed, **effect)}
    pairs = list(itertools.combinations(found, 2)) if pairs is None else pairs
    out: dict[str, Any] = {"arms": {}, "pairs": {}}
    for name, both in found.items():
        out["arms"][name] = {reading: summary(*both[reading]) for reading in both}
    for a, b in pairs:
        for reading in ("stated", "scaled"):
            compared = metrics.paired_differences(
                *found[a][reading],
                *found[b][reading],
                COMPARED,
                n_bins=BINS,
                n_boot=200 if seed == 0 else 2,
                n_permutations=400,
                seed=seed,
            )
            out["pairs"][f"{b} - {a}, {reading}"] = {
                key: {"difference": -d.difference, "p_value": d.p_value}
                for key, d in compared.items()
            }
    return out


def rates(studies: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By reading and metric, the share of comparisons that were called different."""
    out: dict[str, dict[str, float]] = {}
    for reading in ("stated", "scaled"):
        calls: dict[str, list[bool]] = {key: [] for key in COMPARED}
        for one in studies:
            for pair, found in one["pairs"].items():
                if pair.endswith(reading):
                    for key in COMPARED:
                        calls[key].append(found[key]["p_value"] <= LEVEL)
        out[reading] = {key: float(np.mean(values)) for key, values in calls.items()}
    return out


def effects_of_scaling(studies: list[dict[str, Any]]) -> dict[str, float]:
    """What matrix scaling does to an arm, over all arms of all studies."""
    each = [arm for one in studies for arm in one["arms"].values()]

    def values(reading: str, key: str) -> np.ndarray:
        return np.array([arm[reading][key] for arm in each])

    before, after = values("stated", "ece"), values("scaled", "ece")
    lower = 1.0 - after / before
    gain = values("scaled", "accuracy") - values("stated", "accuracy")
    return {
        "arms": len(each),
        "ece_before": float(before.mean()),
        "ece_after": float(after.mean()),
        "ece_by_chance": float(values("scaled", "ece_by_chance").mean()),
        "lower_mean": float(lower.mean()),
        "lower_of_means": float(1.0 - after.mean() / before.mean()),
        "lower_quartiles": [float(q) for q in np.quantile(lower, [0.25, 0.75])],
        "lower_within": float(np.mean((lower >= FOUND[0]) & (lower <= FOUND[1]))),
        "mce_before": float(values("stated", "mce").mean()),
        "mce_after": float(values("scaled", "mce").mean()),
        "accuracy_gain_mean": float(gain.mean()),
        "accuracy_gain_sd": float(gain.std()),
        "accuracy_higher": float(np.mean(gain > 0)),
        "stated_called_miscalibrated": float(np.mean(values("stated", "p_value") <= LEVEL)),
        "scaled_called_miscalibrated": float(np.mean(values("scaled", "p_value") <= LEVEL)),
    }


def markdown(content: dict[str, Any]) -> str:
    """The report."""
    where, e = content["machine"], content["scaling"]
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    n = content["studies"]
    allowed = LEVEL + 3.0 * (LEVEL * (1 - LEVEL) / n) ** 0.5
    lines = [
        "# Three arms that differ by chance alone",
        "",
        f"{where['date']}, {where['processor']}, one thread; {versions}",
        "",
        f"{n} simulated studies of {QUESTIONS:,} questions and three arms; ECE and MCE with {BINS} bins",
        "of equal width (MCE over bins of at least 10 questions where one arm is described), matrix",
        "scaling cross-fitted in 5 folds with its penalty chosen inside of each.",
        NOTES,
        "## What matrix scaling does to an arm",
        "",
        f"* ECE {e['ece_before']:.4f} -> {e['ece_after']:.4f} on average over {e['arms']} arms "
        f"({e['ece_by_chance']:.4f} is what a calibrated model of such confidences shows by chance): "
        f"{e['lower_of_means']:.0%} lower. Arm by arm {e['lower_mean']:.0%} on average, half of them "
        f"between {e['lower_quartiles'][0]:.0%} and {e['lower_quartiles'][1]:.0%}; "
        f"{e['lower_within']:.0%} lie within {FOUND[0]:.0%} to {FOUND[1]:.0%}.",
        f"* Accuracy {e['accuracy_gain_mean']:+.4f} on average (standard deviation "
        f"{e['accuracy_gain_sd']:.4f}); higher in {e['accuracy_higher']:.0%} of the arms.",
        f"* MCE {e['mce_before']:.4f} -> {e['mce_after']:.4f}.",
        f"* Called miscalibrated at the level {LEVEL}: {e['stated_called_miscalibrated']:.1%} of the "
        f"arms as stated, {e['scaled_called_miscalibrated']:.1%} after scaling.",
        "",
        "## How often a difference between arms is claimed where there is none",
        "",
        f"Share of {3 * n} paired comparisons with p <= {LEVEL} (at most {allowed:.3f} is within chance "
        f"of the level for {n} studies):",
        "",
        "| reading | ECE | MCE | accuracy |",
        "|---|---|---|---|",
    ]
    for reading, found in content["false_calls"].items():
        lines.append(f"| {reading} | " + " | ".join(f"{found[key]:.3f}" for key in COMPARED) + " |")
    lines += [
        "",
        "## How often a planted difference is found",
        "",
        f"The sycophantic arm against the base arm, {content['power_studies']} studies each. What is",
        "planted is affine, so matrix scaling takes it out again: after it, no difference is right.",
        "",
        "| planted in the sycophantic arm | reading | ECE difference, mean | ECE | MCE | accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for one in content["power"]:
        for reading, found in one["found"].items():
            lines.append(
                f"| {one['effect']} | {reading} | {one['difference'][reading]:+.4f} | "
                + " | ".join(f"{found[key]:.2f}" for key in COMPARED)
                + " |"
            )
    lines += ["", "## One study, as a reader would see it", ""]
    lines += [
        "| arm | reading | ECE | by chance | p | MCE | accuracy |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, both in content["example"]["arms"].items():
        for reading, s in both.items():
            lines.append(
                f"| {name} | {reading} | {s['ece']:.4f} | {s['ece_by_chance']:.4f} | "
                f"{s['p_value']:.3f} | {s['mce']:.4f} | {s['accuracy']:.3f} |"
            )
    lines += ["", "| pair | ECE | p | MCE | p | accuracy | p |", "|---|---|---|---|---|---|---|"]
    for pair, found in content["example"]["pairs"].items():
        cells = (f"{found[k]['difference']:+.4f} | {found[k]['p_value']:.3f}" for k in COMPARED)
        lines.append(f"| {pair} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Simulate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--power-studies", type=int, default=POWER_STUDIES)
    parser.add_argument("--quick", action="store_true", help="write no results")
    arguments = parser.parse_args()
    one_thread()
    warnings.simplefilter("ignore")
    arms, start = oracle(), time.time()
    studies: list[dict[str, Any]] = []
    for seed in range(arguments.studies):
        studies.append(study(arms, seed))
        if seed % 20 == 19:
            print(f"{seed + 1} studies, {time.time() - start:.0f} s", flush=True)
    power: list[dict[str, Any]] = []
    for name, effect in EFFECTS:
        pair = [("base", "sycophantic")]
        planted = [
            study(arms, 10_000 + seed, pair, **effect) for seed in range(arguments.power_studies)
        ]
        means = {
            r: float(
                np.mean(
                    [s["pairs"][f"sycophantic - base, {r}"]["ece"]["difference"] for s in planted]
                )
            )
            for r in ("stated", "scaled")
        }
        power.append({"effect": name, "found": rates(planted), "difference": means})
        print(power[-1], flush=True)
    content = {
        "machine": machine(("scipy",)),
        "studies": arguments.studies,
        "power_studies": arguments.power_studies,
        "scaling": effects_of_scaling(studies),
        "false_calls": rates(studies),
        "power": power,
        "example": studies[0],
    }
    text = markdown(content)
    print(text)
    if not arguments.quick:
        write("arms_study", content)
        (RESULTS / "arms_study.md").write_text(text)


if __name__ == "__main__":
    main()
