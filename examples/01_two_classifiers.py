"""Two classifiers on the same images: one keeps its promises, the other says 99% and is right 83%.

    python examples/01_two_classifiers.py picture.png

Expected: logistic ECE 0.020, naive_bayes ECE 0.161, and the picture at the top of the README.
Takes about five seconds on one core.
"""

from __future__ import annotations

import sys

from matplotlib.figure import Figure

from levelhead.audit.charts import confidence_histogram, reliability_diagram
from levelhead.audit.collect import ModelRecords
from levelhead.audit.convention import convention
from levelhead.audit.summary import summarize
from levelhead.cli.demo import train_and_predict


def main(path: str) -> None:
    """Audit both classifiers and draw them side by side."""
    rules = convention("levelhead")
    figure = Figure(figsize=(12.0, 7.8), dpi=110, layout="constrained")
    axes = figure.subplots(2, 2, height_ratios=(2.4, 1.0))
    for column, (name, predictions) in enumerate(train_and_predict(seed=0).items()):
        records = ModelRecords(name, rules.missing, by=())
        records.add(predictions, path=name, max_rows=10**6)
        found = summarize(records, rules)
        ece = found.metric("ece")
        print(f"{name:12s} ECE {ece.value:.3f} [{ece.low:.3f}, {ece.high:.3f}]")
        upper, lower = axes[0, column], axes[1, column]
        reliability_diagram(found.reliability, ax=upper)
        confidence_histogram(found.histogram, ax=lower)
        said, right = found.metric("mean_confidence").value, found.metric("accuracy").value
        upper.set_title(
            f"{name.replace('_', ' ')}: says {said:.0%}, is right {right:.0%}", loc="left", pad=22
        )
    figure.savefig(path, facecolor="white")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "two_classifiers.png")
