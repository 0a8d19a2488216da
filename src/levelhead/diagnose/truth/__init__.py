"""Did the model become indifferent to truth: do its claims follow what it believes?

The Bullshit Index with its sign, its degenerate case and its rank version; what is claimed where the
truth is positive, negative or unknown; beliefs from option tokens or from hidden states.

    >>> import numpy as np
    >>> belief = np.linspace(0.0, 1.0, 1000)
    >>> diagnose_truth(Claims(belief, belief >= 0.5)).verdict
    'TRUTHFUL'
"""

from levelhead.diagnose.truth._claims import (
    Association,
    ClaimRates,
    ConditionRate,
    association,
    claim_rates,
    claim_word,
)
from levelhead.diagnose.truth._compare import IndexChange, compare_indices, compare_rates
from levelhead.diagnose.truth._diagnose import diagnose_truth, probe_beliefs, section
from levelhead.diagnose.truth._files import HiddenStates, Statements, read_hidden, read_statements
from levelhead.diagnose.truth._index import (
    BullshitIndex,
    Truth,
    bullshit_index,
    uniform_ceiling,
    verdict,
)
from levelhead.diagnose.truth._options import OptionBeliefs, option_beliefs, option_mass
from levelhead.diagnose.truth._probe import LogisticProbe, ProbeResult, fit_probe, truth_probe
from levelhead.diagnose.truth._result import Claims, Diagnosed, TruthResult

__all__ = [
    "Association",
    "BullshitIndex",
    "ClaimRates",
    "Claims",
    "ConditionRate",
    "Diagnosed",
    "HiddenStates",
    "IndexChange",
    "LogisticProbe",
    "OptionBeliefs",
    "ProbeResult",
    "Statements",
    "Truth",
    "TruthResult",
    "association",
    "bullshit_index",
    "claim_rates",
    "claim_word",
    "compare_indices",
    "compare_rates",
    "diagnose_truth",
    "fit_probe",
    "option_beliefs",
    "option_mass",
    "probe_beliefs",
    "read_hidden",
    "read_statements",
    "section",
    "truth_probe",
    "uniform_ceiling",
    "verdict",
]
