"""`levelhead demo`: a real classifier on real data, audited end to end in seconds."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from levelhead._optional import optional_import
from levelhead.cli._console import Progress, show
from levelhead.cli.audit import audit_files, write_outputs
from levelhead.readers import ReadOptions, write
from levelhead.records import Predictions

__all__ = ["demo", "train_and_predict"]

SHADES = " .:-=+*#%@"
"""Ink of a pixel from none to full, for the pictures in the list of confident errors."""

EPILOG = """\b
Example:
  levelhead demo --out levelhead-demo
"""


@click.command(epilog=EPILOG)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("levelhead-demo"),
    show_default=True,
    help="Folder for the predictions and the report.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="Of the split and of every resampling.",
)
def demo(out: Path, seed: int) -> None:
    """Train two small classifiers on handwritten digits and audit what they claim.

    Naive Bayes counts correlated pixels as independent evidence, so it is sure of what it does not
    know; logistic regression on the same images is not. Both files are ordinary predictions.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, predictions in train_and_predict(seed).items():
        paths[name] = out / f"{name}.parquet"
        write(paths[name], predictions)
    report = out / "report.html"
    with Progress(enabled=True) as progress:
        result = audit_files(
            (str(paths["naive_bayes"]),),
            ReadOptions(by=("digit",)),
            baseline=(str(paths["logistic"]),),
            seed=seed,
            progress=progress,
        )
    write_outputs(result, report, out / "audit.json")
    show(result, report)
    click.echo(f"predictions: {', '.join(str(p) for p in paths.values())}")


def train_and_predict(seed: int) -> dict[str, Predictions]:
    """Predictions of both classifiers on the held-out half of the 1,797 digits in scikit-learn.

    Args:
        seed: of the split.

    Returns:
        Predictions by model name, row by row on the same images.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    feature, extra = "levelhead demo", "demo"
    datasets = optional_import("sklearn.datasets", feature, extra)
    bayes = optional_import("sklearn.naive_bayes", feature, extra)
    linear = optional_import("sklearn.linear_model", feature, extra)
    images, digits = datasets.load_digits(return_X_y=True)
    images = images / 16.0
    order = np.random.default_rng(seed).permutation(len(digits))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    classifiers = {
        "naive_bayes": bayes.GaussianNB(),
        "logistic": linear.LogisticRegression(C=10.0, max_iter=1000),
    }
    out = {}
    for name, classifier in classifiers.items():
        probs = classifier.fit(images[train], digits[train]).predict_proba(images[test])
        said = probs.argmax(axis=1)
        out[name] = Predictions.from_arrays(
            "answer",
            np.clip(probs.max(axis=1), 0.0, 1.0),
            said == digits[test],
            model=name,
            prompt_id=[f"image {i}" for i in test],
            columns={
                "digit": [str(d) for d in digits[test]],
                "answer": [str(d) for d in said],
                "gold": [str(d) for d in digits[test]],
                "text": [_picture(image) for image in images[test]],
            },
        )
    return out


def _picture(image: np.ndarray) -> str:
    """The 8 x 8 image in characters, two per pixel so that it looks square."""
    ink = np.minimum((image.reshape(8, 8) * len(SHADES)).astype(int), len(SHADES) - 1)
    return "\n".join("".join(SHADES[k] * 2 for k in row) for row in ink)
