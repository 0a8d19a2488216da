"""The probe: where does an advantage estimator drive a policy?

`probe` takes any function `(rewards, groups) -> advantages` and finds out by calling it: how it
works, from what changes when its input does, and where policies end that follow it.

    >>> import numpy as np
    >>> from levelhead.probe import probe
    >>> def mine(rewards, groups):
    ...     group = rewards.reshape(-1, 8)
    ...     group = (group - group.mean(1, keepdims=True)) / (group.std(1, keepdims=True) + 1e-6)
    ...     return group.ravel()
    >>> probe(mine).verdict
    'overconfident'
"""

from __future__ import annotations

from levelhead.probe.reading import Bias, End, LengthReading, Reading
from levelhead.probe.run import probe, probe_loss

__all__ = ["Bias", "End", "LengthReading", "Reading", "probe", "probe_loss"]
