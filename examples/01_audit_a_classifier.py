"""Two classifiers on the same images: one keeps its promises, the other says 99% and is right 83%.

    python examples/01_audit_a_classifier.py

Expected: logistic ECE 0.020, naive_bayes ECE 0.161 and far beyond chance. Needs scikit-learn; about
three seconds on one core.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from levelhead.metrics import auroc, ece, ece_excess_test, overconfidence
from levelhead.metrics.intervals import ece_interval


def main() -> None:
    """Train both, and compare what they say with how often they are right."""
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    for name, classifier in {
        "logistic": LogisticRegression(C=10.0, max_iter=1000),
        "naive_bayes": GaussianNB(),
    }.items():
        probs = classifier.fit(images[train] / 16.0, digits[train]).predict_proba(images[test] / 16)
        confidence = np.clip(probs.max(axis=1), 0.0, 1.0)
        correct = (probs.argmax(axis=1) == digits[test]).astype(float)
        interval = ece_interval(confidence, correct)
        print(
            f"{name:12s} ECE {ece(confidence, correct):.3f} "
            f"[{interval.low:.3f}, {interval.high:.3f}], "
            f"beyond chance p = {ece_excess_test(confidence, correct).p_value:.3f}, "
            f"overconfidence {overconfidence(confidence, correct):+.3f}, "
            f"AUROC {auroc(confidence, correct):.3f}"
        )


if __name__ == "__main__":
    main()
