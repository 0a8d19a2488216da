"""Did training sharpen what the base model could do already, or add what it could not?

pass@k is the chance that one of k samples of a problem is right. A model that was sharpened has more
at k = 1 and less at large k; one that learned something new solves problems that the base model does
not. All curves come from counts: a problem with c right ones among n samples is the pair (n, c).
"""

from levelhead.diagnose.sharpening._counts import Samples
from levelhead.diagnose.sharpening._diagnose import TAUS, diagnose_sharpening, section
from levelhead.diagnose.sharpening._passk import (
    auc_log_k,
    cover_at,
    crossing_k,
    pass_at_k,
    pass_at_k_curve,
    transitions,
)
from levelhead.diagnose.sharpening._result import Difference, SharpeningResult

__all__ = [
    "TAUS",
    "Difference",
    "Samples",
    "SharpeningResult",
    "auc_log_k",
    "cover_at",
    "crossing_k",
    "diagnose_sharpening",
    "pass_at_k",
    "pass_at_k_curve",
    "section",
    "transitions",
]
