"""How hard the prompts are, what the estimator makes of that, and whether shortcuts were learned.

Prompts that a model hardly ever solves teach it from lone successes, which are often lucky: it learns
to repeat an answer or to skip the work. Bands of difficulty, the weight that an estimator gives each
band, detectors of both shortcuts, filters against them, and a suite of what was solved before.

    >>> from levelhead.diagnose.difficulty import pass_bands, pass_counts, prompt_filter
    >>> counts = pass_counts([0] * 8 + [1, 0] * 4, ["a"] * 8 + ["b"] * 8)
    >>> keep = prompt_filter(pass_bands(counts).by_prompt())
    >>> keep({"prompt_id": ["a", "b"]})
    [False, True]
"""

from levelhead.diagnose.difficulty._amplify import (
    EstimatorCounts,
    count_advantages,
    flip_share,
    update_by_counts,
    update_by_rate,
)
from levelhead.diagnose.difficulty._bands import (
    BANDS,
    Bands,
    PassCounts,
    band_posterior,
    pass_bands,
    pass_counts,
)
from levelhead.diagnose.difficulty._diagnose import diagnose_difficulty, section
from levelhead.diagnose.difficulty._equations import equation_validity, operation_count
from levelhead.diagnose.difficulty._filters import (
    TRAINABLE,
    cap_advantages,
    difficulty_weights,
    dynamic_sampling,
    filter_parquet,
    filtered_advantages,
    prompt_filter,
    rare_success_gate,
)
from levelhead.diagnose.difficulty._shortcuts import (
    ShortcutTest,
    Traces,
    read_traces,
    share_interval,
    shortcut_test,
)
from levelhead.diagnose.difficulty._suite import RegressionSuite, regression_suite
from levelhead.diagnose.difficulty._text import (
    AnswerMark,
    Repetition,
    Skipping,
    Span,
    answer_marks,
    answer_repetition,
    computation_skipping,
)
from levelhead.diagnose.difficulty._view import BandRow, DifficultyResult, Example

__all__ = [
    "BANDS",
    "TRAINABLE",
    "AnswerMark",
    "BandRow",
    "Bands",
    "DifficultyResult",
    "EstimatorCounts",
    "Example",
    "PassCounts",
    "RegressionSuite",
    "Repetition",
    "ShortcutTest",
    "Skipping",
    "Span",
    "Traces",
    "answer_marks",
    "answer_repetition",
    "band_posterior",
    "cap_advantages",
    "computation_skipping",
    "count_advantages",
    "diagnose_difficulty",
    "difficulty_weights",
    "dynamic_sampling",
    "equation_validity",
    "filter_parquet",
    "filtered_advantages",
    "flip_share",
    "operation_count",
    "pass_bands",
    "pass_counts",
    "prompt_filter",
    "rare_success_gate",
    "read_traces",
    "regression_suite",
    "section",
    "share_interval",
    "shortcut_test",
    "update_by_counts",
    "update_by_rate",
]
