"""The result as plain JSON types."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np

from levelhead.audit.result import AuditResult, NullRow, to_json


def test_undefined_is_null_and_numpy_is_plain() -> None:
    result = AuditResult(
        models=[],
        comparisons=[],
        convention={"n_bins": np.int64(10), "x": math.nan, "y": (math.inf, np.float64(0.5))},
        level=0.95,
        n_boot=100,
        seed=0,
        created="2026-01-01",
        levelhead_version="0",
        notes=[],
    )
    out = to_json(result)
    assert out["convention"] == {"n_bins": 10, "x": None, "y": [None, 0.5]}
    assert json.loads(json.dumps(out, allow_nan=False)) == out


def test_every_field_reaches_the_json() -> None:
    row = NullRow(0.1, 0.2, 0.3, 0.4)
    assert list(dataclasses.asdict(row)) == ["expected", "quantile_95", "excess", "p_value"]
    assert {f.name for f in dataclasses.fields(AuditResult)} >= {
        "schema_version",
        "models",
        "notes",
    }
