"""Which weights RL changed: density, ranks and overlap, beside what rounding alone would show.

Weights are stored in few digits, so that a small step leaves most of them as they were. A dense step of
independent Gaussian numbers therefore looks sparse, of full rank, and two of them overlap; a finding is
what goes beyond that.
"""

from levelhead.diagnose.updates._diagnose import TOLERANCES, density, diagnose_updates
from levelhead.diagnose.updates._null import Overlap, overlap, rounding_density
from levelhead.diagnose.updates._rank import Rank, effective_rank, gini, stable_rank
from levelhead.diagnose.updates._result import TensorUpdate, UpdatesResult
from levelhead.diagnose.updates._section import section

__all__ = [
    "TOLERANCES",
    "Overlap",
    "Rank",
    "TensorUpdate",
    "UpdatesResult",
    "density",
    "diagnose_updates",
    "effective_rank",
    "gini",
    "overlap",
    "rounding_density",
    "section",
    "stable_rank",
]
