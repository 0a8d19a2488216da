"""The lab's pictures: the paper's figures 1 and 3 to 6, the theorem, the group sizes, the lottery.

Every function takes what was computed and returns a matplotlib figure; `write` puts one into a PNG
and an SVG, and `all_figures` computes, draws and writes them all.
"""

from levelhead.lab.figures._style import write
from levelhead.lab.figures.advantages import figure3, figure4, figure5
from levelhead.lab.figures.aim import theorem
from levelhead.lab.figures.collection import CAPTIONS, SCALES, Scale, all_figures
from levelhead.lab.figures.reliability import (
    ReliabilityPanel,
    figure1,
    lottery,
    reliability_panels,
)
from levelhead.lab.figures.sweep import group_size
from levelhead.lab.figures.training import TrainingCurve, figure6, training_curve

__all__ = [
    "CAPTIONS",
    "SCALES",
    "ReliabilityPanel",
    "Scale",
    "TrainingCurve",
    "all_figures",
    "figure1",
    "figure3",
    "figure4",
    "figure5",
    "figure6",
    "group_size",
    "lottery",
    "reliability_panels",
    "theorem",
    "training_curve",
    "write",
]
