"""Class logits of three models with planted faults: what a study of their calibration must find.

N questions with four options. What there is to know about a question is z ~ N(0, 1.8^2) for each
option, and the label is drawn from softmax(z). A model sees z with an error of its own,
x = z + 0.5 e, and states logits that are distorted in the same two ways for every question:

    logits = overconfidence * SCALES * x + letter_bias * BIAS

Because of its error, a model that states 0.88 x would be about right (0.93 for the ratio of the
variances, a little less for what is left unknown). SCALES exceeds that for some letters and not for
others; BIAS prefers the letter A whatever the question. An affine map of the logits undoes both, so
matrix scaling can repair them and temperature scaling only in part. Stated like this, a model is
right on 61% of the questions at a mean confidence of 67%; repaired, on 64% at 64%.

The base, neutral and sycophantic arms differ by their errors e alone, drawn from one distribution:
exchanging two arms changes no distribution, and any verdict that they differ is false. A study with
an effect plants it by `overconfidence` or `letter_bias`.

This file imports nothing of the project. The tests' folders are no packages: load it by its path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ARMS = ("base", "neutral", "sycophantic")
CLASSES = ("A", "B", "C", "D")
SPREAD = 1.8
ERROR = 0.5
SCALES = np.array([1.1, 0.8, 0.95, 1.05])
BIAS = np.array([0.6, 0.05, -0.25, -0.4])

FloatArray = np.ndarray


@dataclasses.dataclass(frozen=True)
class Arm:
    """What one model states about every question.

    Attributes:
        name: of the model.
        logits: (N, 4) float64, of the letters A to D.
        target: (N,) index of the right letter, the same in every arm.
        prompt_id: (N,) name of the question, the same in every arm.
    """

    name: str
    logits: FloatArray
    target: np.ndarray
    prompt_id: tuple[str, ...]


def three_arms(
    n: int = 1000,
    seed: int = 0,
    *,
    overconfidence: Mapping[str, float] | None = None,
    letter_bias: Mapping[str, float] | None = None,
) -> tuple[Arm, ...]:
    """The arms of one simulated study.

    Args:
        n: number of questions.
        seed: of the random numbers.
        overconfidence: factor on the logits of an arm, by its name; 1 where it is not named.
        letter_bias: factor on the preference for letters of an arm; 1 where it is not named.

    Returns:
        One `Arm` for each name of `ARMS`, in that order.
    """
    rng = np.random.default_rng([seed, 0xA1])
    z = rng.normal(0.0, SPREAD, (n, len(CLASSES)))
    target = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    names = tuple(f"question-{i}" for i in range(n))
    arms: list[Arm] = []
    for name in ARMS:
        x = z + ERROR * rng.normal(size=z.shape)
        scale = (overconfidence or {}).get(name, 1.0)
        bias = (letter_bias or {}).get(name, 1.0)
        arms.append(Arm(name, scale * SCALES * x + bias * BIAS, target, names))
    return tuple(arms)


def write_arms(folder: Path, arms: tuple[Arm, ...]) -> list[Path]:
    """Write each arm to `folder/NAME.parquet`: logits list<float>, target int64, prompt_id string.

    The file stores logits in float32, as inference engines do; they are rounded to 1e-7 or so.
    """
    paths: list[Path] = []
    for arm in arms:
        columns = {
            "logits": pa.array(arm.logits.tolist(), pa.list_(pa.float32())),
            "target": pa.array(arm.target, pa.int64()),
            "prompt_id": pa.array(arm.prompt_id, pa.string()),
        }
        paths.append(folder / f"{arm.name}.parquet")
        pq.write_table(pa.table(columns), paths[-1])
    return paths
