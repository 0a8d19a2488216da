"""Every picture of the lab: computed, drawn, written, with a caption beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from levelhead._write import write_text
from levelhead.errors import unknown_name
from levelhead.lab.figures._style import write
from levelhead.lab.figures.advantages import figure3, figure4, figure5
from levelhead.lab.figures.aim import theorem
from levelhead.lab.figures.reliability import figure1, lottery, reliability_panels
from levelhead.lab.figures.sweep import group_size
from levelhead.lab.figures.training import figure6, training_curve
from levelhead.lab.simulate import Run, Trained, simulate
from levelhead.lab.sweeps import (
    PAPER_EPS,
    RULES,
    AdvantageCurves,
    advantage_curves,
    group_size_sweep,
    mean_field,
    theorem_points,
)
from levelhead.lab.world import World, paper_world, token_values

__all__ = ["CAPTIONS", "SCALES", "Scale", "all_figures"]

CAPTIONS = {
    "figure1": (
        "What trained policies say about 20 kinds of question against how often each comes true. "
        "GRPO drives every prediction to the nearer end; without the standard deviation, and with "
        "RLOO and PPO, the policies say the truth. Curve: exact limit of the expected update."
    ),
    "figure3": (
        "Expected advantage of each prediction under three policies where the truth is 70%, log "
        "score: true, without and with standard deviation. Lines are exact for groups of 1,000, "
        "circles are averages over sampled groups."
    ),
    "figure4": "The same as figure 3 with the Brier score as the reward.",
    "figure5": (
        "Mean standard deviation of the rewards in a group, had the outcome been 0 or 1. Where a "
        "policy stands above one half, the surprising outcome 0 has the larger one, so that its "
        "penalty is divided by more than the gain from outcome 1."
    ),
    "figure6": (
        "Calibration error, AUROC, accuracy and mean reward over the policy's updates. GRPO's "
        "calibration and reward get worse while it trains, and accuracy does not show it. The first "
        "three are those of the exact mean prediction, whose order survives in digits that the mean "
        "of 100 samples does not have."
    ),
    "theorem": (
        "Where the expected standardized advantage of a narrow policy aims. All three rules follow "
        "logit p_eff = logit p + logit m, so that the aim lies beyond the policy's own place m on "
        "the side of the likelier outcome, wherever the truth p is."
    ),
    "group_size": (
        "Final prediction of GRPO over the true probability for groups of 2 to 64, from the exact "
        "expected update. A shared outcome leads to the ends at any group size; with an outcome for "
        "each sample the bias fades as groups grow. Hollow markers were not at rest."
    ),
    "lottery": (
        "A policy trained to be ranked first in its group. The mean of 100 samples is nearly "
        "calibrated, but each sample stands at an end, so whoever asks once gets a lottery ticket."
    ),
}
"""What each picture shows, by name."""

TRUTHS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Of the lottery's histograms: at more extreme ones the policy stands at one end."""

GROUP_SIZES = (2, 4, 8, 16, 32, 64)

ESTIMATORS = ("grpo", "grpo_no_std", "rloo", "ppo")


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """How much is computed for the pictures.

    Attributes:
        n_updates: of the trained policies.
        lr: of AdamW in their training; fewer updates take larger steps.
        value_lr: of PPO's value model, likewise.
        n_groups: sampled groups behind each advantage curve.
        curve_points: true probabilities on the exact curves of figure 1.
        sweep_points: true probabilities on the curves of the group sizes.
        sweep_tokens: tokens of the policies behind them.
        steps: most updates of those that do not come to rest.
    """

    n_updates: int
    lr: float
    value_lr: float
    n_groups: int
    curve_points: int
    sweep_points: int
    sweep_tokens: int
    steps: int


SCALES = {
    "quick": Scale(
        n_updates=4000,
        lr=0.03,
        value_lr=1e-3,
        n_groups=20_000,
        curve_points=41,
        sweep_points=25,
        sweep_tokens=49,
        steps=400,
    ),
    "full": Scale(
        n_updates=50_000,
        lr=3e-3,
        value_lr=1e-5,
        n_groups=100_000,
        curve_points=81,
        sweep_points=49,
        sweep_tokens=99,
        steps=3000,
    ),
}
"""`full` has the paper's numbers."""


def all_figures(
    out_dir: Path | str,
    *,
    seed: int = 0,
    scale: str = "quick",
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Path]:
    """Compute, draw and write every picture, and `captions.md` beside them.

    Args:
        out_dir: where to; made if missing.
        seed: of everything that is sampled.
        scale: `quick` (a minute) or `full` (the paper's numbers of updates and groups).
        progress: told the name of each picture before it is begun, how many are done, and how many
            there are.

    Returns:
        The files: a PNG and an SVG for each picture, then the captions.

    Raises:
        InvalidInputError: there is no such scale.
        RecordError: the folder cannot be written to.
    """
    if scale not in SCALES:
        raise unknown_name("scale", scale, SCALES)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    studio = _Studio(seed, SCALES[scale])
    paths: list[Path] = []
    for done, name in enumerate(CAPTIONS):
        if progress is not None:
            progress(name, done, len(CAPTIONS))
        paths += write(studio.draw(name), folder / name)
    text = "".join(f"![{name}]({name}.png)\n\n{words}\n\n" for name, words in CAPTIONS.items())
    write_text(folder / "captions.md", "# Pictures of the lab\n\n" + text.rstrip("\n") + "\n")
    return [*paths, folder / "captions.md"]


class _Studio:
    """Draws pictures by name and computes once what several of them show."""

    def __init__(self, seed: int, scale: Scale) -> None:
        self.seed, self.scale = seed, scale

    def draw(self, name: str) -> Figure:
        makers: dict[str, Callable[[], Figure]] = {
            "figure1": self.reliability,
            "figure3": lambda: figure3(self.curves["log"]),
            "figure4": lambda: figure4(self.curves["brier"]),
            "figure5": lambda: figure5(self.curves),
            "figure6": lambda: figure6([training_curve(self.world, t) for t in self.trained]),
            "theorem": self.theorem,
            "group_size": self.group_size,
            "lottery": self.lottery,
        }
        return makers[name]()

    def rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream])

    @cached_property
    def world(self) -> World:
        return paper_world()

    @cached_property
    def curves(self) -> dict[str, tuple[AdvantageCurves, ...]]:
        return {
            rule: advantage_curves(rule, n_groups=self.scale.n_groups, seed=self.seed)
            for rule in ("log", "brier")
        }

    @cached_property
    def trained(self) -> list[Trained]:
        runs = [
            Run(
                estimator=name,
                seed=self.seed,
                group_size=1 if name == "ppo" else 10,
                updates_per_rollout=updates,
                n_updates=self.scale.n_updates,
                lr=self.scale.lr,
                value_lr=self.scale.value_lr,
                eps=PAPER_EPS if name == "grpo" else None,
            )
            for updates in (1, 10)
            for name in ESTIMATORS
        ]
        return simulate(self.world, runs, record=max(1, self.scale.n_updates // 100))

    def reliability(self) -> Figure:
        on_policy = {
            one.run.estimator: one.policy
            for one in self.trained
            if one.run.updates_per_rollout == 1
        }
        panels = reliability_panels(
            self.world, on_policy, rng=self.rng(1), curve_points=self.scale.curve_points
        )
        return figure1(panels)

    def theorem(self) -> Figure:
        p, m = np.meshgrid((0.1, 0.3, 0.5, 0.7, 0.9), (0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95))
        return theorem(
            [
                theorem_points(rule, p.ravel(), m.ravel(), spread=0.01, seed=self.seed + i)
                for i, rule in enumerate(RULES)
            ]
        )

    def group_size(self) -> Figure:
        p = np.linspace(0.02, 0.98, self.scale.sweep_points)
        values = token_values(self.scale.sweep_tokens)
        return group_size(
            [
                group_size_sweep(p, values, GROUP_SIZES, outcomes="shared"),
                # Small steps, since the rate is what a policy without rest depends on.
                group_size_sweep(
                    p, values, GROUP_SIZES, outcomes="independent", lr=0.1, steps=self.scale.steps
                ),
            ]
        )

    def lottery(self) -> Figure:
        values, rates = self.world.values, self.world.empirical_rates
        policy = mean_field("top1", rates, values, group_size=8).policy
        panel = reliability_panels(self.world, {"top1": policy}, rng=self.rng(2), curve_points=0)[0]
        truths = np.array(TRUTHS)
        return lottery(
            panel, truths, mean_field("top1", truths, values, group_size=8).policy, values
        )
