"""Our rewards as verl calls them: by hand, through verl's reward managers, and back into an audit."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelhead.adapters.verl_rewards import check_options, compute_score
from levelhead.errors import InvalidInputError
from levelhead.readers import ReadOptions, read

INSTALLED = importlib.util.find_spec("verl") is not None
needs_verl = pytest.mark.skipif(
    not INSTALLED, reason="verl is not installed here; `make test-peers` has it"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # what verl's dependencies warn about is theirs

KEYS = ["score", "acc", "confidence", "well_formed", "status", "answer"]
THOUSAND = "<answer>$1,200</answer> <confidence>1</confidence>"
PARIS = "<answer>Paris</answer> <confidence>0.9</confidence>"


def score(text: str, truth: Any, **options: Any) -> float:
    return compute_score("source", text, truth, {"index": 7}, **options)["score"]


@pytest.mark.parametrize(
    ("text", "truth", "options", "expected"),
    [
        ("<answer>80</answer>", 1.0, {"rule": "log"}, math.log(0.8)),
        ("<answer>80</answer>", 0, {"rule": "log"}, math.log(0.2)),
        ("<answer>100</answer>", 0, {"rule": "log"}, math.log(0.01)),  # clipped to 0.99
        ("<answer>100</answer>", 0, {"rule": "log", "eta": 0.1}, math.log(0.1)),
        ("nothing", 1.0, {"rule": "log"}, math.log(0.01)),
        ("<answer>80</answer>", "1", {"rule": "brier"}, -0.04),
        ("<answer>80</answer>", 0, {"rule": "brier"}, -0.64),
        ("<answer>180</answer>", 1, {"rule": "brier"}, -1.0),
        ("<answer>180</answer>", 1, {"rule": "brier", "floor": -3}, -3.0),
        # y - (y - q)^2: 1 - 0.01, 0 - 0.81; at half the weight 1 - 0.005
        (PARIS, ["paris", "Lutetia"], {"rule": "rlcr"}, 0.99),
        (PARIS, np.array(["Rome"], dtype=object), {"rule": "rlcr"}, -0.81),
        (PARIS, "paris", {"rule": "rlcr", "weight": 0.5}, 0.995),
        ("<answer>Paris</answer>", "Paris", {"rule": "rlcr"}, -1.0),
        ("<confidence>0</confidence>", "Paris", {"rule": "rlcr"}, -1.0),
        ("<answer>Paris</answer>", "Paris", {"rule": "correctness"}, 1.0),
        ("<confidence>0.5</confidence>", "Paris", {"rule": "correctness"}, 0.0),
        (PARIS, "Rome", {"rule": "format", "kind": "answer"}, 1.0),
        ("<answer>Paris</answer>", "Rome", {"rule": "format", "kind": "answer"}, 0.0),
        ("<answer>3</answer>", 0, {"rule": "format"}, 1.0),
        (PARIS, "Rome", {"rule": "brier", "kind": "answer"}, -0.81),
        (THOUSAND, 1200, {"rule": "rlcr", "verifier": "number"}, 1.0),
        ("<answer>99.9</answer>", 1, {"rule": "log", "elicitation": "percent_tag_paper"}, math.log(0.99)),
        ("<answer>70%</answer>", 1, {"rule": "log", "elicitation": "percent_tag_paper"}, math.log(0.01)),
    ],
)  # fmt: skip
def test_scores_by_hand(text: str, truth: Any, options: dict[str, Any], expected: float) -> None:
    assert score(text, truth, **options) == pytest.approx(expected, abs=1e-12)


def test_what_an_audit_needs_is_there() -> None:
    found = compute_score("source", PARIS, "Rome", rule="rlcr")
    assert list(found) == KEYS
    assert [found[key] for key in KEYS[1:]] == [0.0, 0.9, 1.0, "ok", "Paris"]
    none = compute_score("source", "I do not know", 1.0)
    assert list(none) == KEYS  # verl takes the keys of the first response for all of them
    assert none["confidence"] is None
    assert [none[key] for key in ("acc", "well_formed", "status", "answer")] == [
        1.0,
        0.0,
        "missing",
        "",
    ]


def test_honesty_pays_best() -> None:
    """The best percentage for an event that happens in 3 of 10 cases is 30, by exact expectation."""
    for rule in ("log", "brier", "spherical"):
        value = {
            k: 0.3 * score(f"<answer>{k}</answer>", 1, rule=rule)
            + 0.7 * score(f"<answer>{k}</answer>", 0, rule=rule)
            for k in range(101)
        }
        assert max(value, key=value.__getitem__) == 30
        assert score("?", 1, rule=rule) <= min(value.values())


@pytest.mark.parametrize(
    ("truth", "options", "text"),
    [
        (1, {"rule": "brir"}, "rule: expected one of .*; did you mean 'brier'"),
        (1, {"rule": "rlcr", "kind": "event"}, "rule: expected one that scores the probability"),
        (1, {"kind": "events"}, "kind: expected one of answer, event, got 'events'"),
        (1, {"elicitation": "tags"}, "elicitation: expected one of"),
        ("a", {"rule": "rlcr", "verifier": "same"}, "verifier: expected one of"),
        (1, {"rule": "brier", "weight": 0.5}, "weight: expected 1 with the rule 'brier', got 0.5"),
        (1, {"rule": "log", "eta": 0.0}, r"eta: expected a number in \(0, 0.5\), got 0.0"),
        (1, {"floor": 0.0}, "floor: expected a finite number of at most -4.6"),
        (1, {"wieght": 0.5}, "reward_kwargs: expected one of .*; did you mean 'weight'"),
        ("a", {"rule": "rlcr", "weight": 2.0}, "weight: expected at most 1"),
        ("a", {}, "source, row 7: ground_truth: expected an outcome of 0 or 1, got 'a'"),
        (0.4, {}, "source, row 7: ground_truth: expected an outcome of 0 or 1, got 0.4"),
        (None, {"rule": "rlcr"}, "source, row 7: ground_truth: expected at least one right answer"),
        ("x", {"rule": "rlcr", "verifier": "number"}, "row 7: ground_truth: .*'number' can read"),
        (math.nan, {"rule": "rlcr"}, "source, row 7: ground_truth: expected at least one right answer"),
        ([np.float32("nan"), None], {"rule": "rlcr"}, "ground_truth: expected at least one right"),
        (1, {"rule": ["rlcr"]}, r"rule: expected one of .*, got \['rlcr'\]"),
        (1, {"kind": ["event"]}, r"kind: expected one of .*, got \['event'\]"),
        ("a", {"rule": "rlcr", "verifier": ["x"]}, r"verifier: expected one of .*, got \['x'\]"),
        (1, {"elicitation": ["x"]}, r"elicitation: expected one of .*, got \['x'\]"),
        (1, {"eta": "x"}, "eta: expected a number, got str 'x'"),
        (1, {"floor": [1]}, "floor: expected a number, got list"),
    ],
)  # fmt: skip
def test_wrong_options_and_truths_are_refused(
    truth: Any, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidInputError, match=text):
        score("<answer>1</answer>", truth, **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, ""),
        ({"rule": "rlcr", "verifier": "math", "weight": 0.5, "floor": -3}, ""),
        (
            {"rule": "rlcr", "verifier": "maths"},
            "verifier: expected one of .*; did you mean 'math'",
        ),
        ({"rule": "log", "eta": 0.5}, r"eta: expected a number in \(0, 0.5\)"),
        ({"rule": "rlcr", "kind": "event"}, "rule: expected one that scores the probability"),
        ({"floor": 0.0}, "floor: expected a finite number of at most -4.6"),
        ({"elicitation": "tags"}, "elicitation: expected one of"),
        ({"wieght": 0.5}, "reward_kwargs: expected one of .*; did you mean 'weight'"),
        ({"reward_router_address": "host:1"}, ""),
    ],
)
def test_options_can_be_checked_before_there_is_a_response(
    options: dict[str, Any], text: str
) -> None:
    if not text:
        check_options(options)
        return
    with pytest.raises(InvalidInputError, match=text):
        check_options(options)


def test_what_verl_adds_for_a_reward_model_is_no_mistake() -> None:
    assert score("<answer>50</answer>", 1, rule="brier", reward_router_address="host:1") == -0.25


def test_verls_validation_file_can_be_audited(tmp_path: Path) -> None:
    said = [("<answer>80</answer>", 1.0), ("<answer>30</answer>", 0.0), ("none", 1.0)]
    lines = [
        {"input": f"q{i}", "output": text, "gts": truth, "step": 20}
        | compute_score("source", text, truth, rule="brier")
        for i, (text, truth) in enumerate(said)
    ]
    path = tmp_path / "20.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = list(read([path], ReadOptions(elicitation="percent_tag")))
    confidence = np.concatenate([part.confidence for part in found])
    label = np.concatenate([part.label for part in found])
    np.testing.assert_allclose(confidence[:2], [0.8, 0.3])
    assert label.tolist() == [1.0, 0.0, 1.0]


# ---- with verl


class Letters:
    """A tokenizer whose tokens are characters."""

    def decode(self, ids: Any, skip_special_tokens: bool = True) -> str:
        return "".join(chr(int(i)) for i in ids)


def responses(texts: list[str], truths: list[Any]) -> Any:
    """A batch as verl's reward managers get it: prompts of one token, responses padded with 0."""
    import torch

    width = max(map(len, texts))
    ids = torch.tensor([[ord(c) for c in text] + [0] * (width - len(text)) for text in texts])
    mask = torch.cat([torch.ones(len(texts), 1), (ids > 0).float()], dim=1).long()
    return importlib.import_module("verl").DataProto.from_dict(
        tensors={
            "prompts": torch.full((len(texts), 1), 65),
            "responses": ids,
            "attention_mask": mask,
        },
        non_tensors={
            "data_source": np.array(["source"] * len(texts), dtype=object),
            "reward_model": np.array([{"ground_truth": t} for t in truths], dtype=object),
            "extra_info": np.array([{"index": i} for i in range(len(texts))], dtype=object),
        },
    )


def configuration(**options: Any) -> Any:
    omega = importlib.import_module("omegaconf").OmegaConf
    function = {
        "path": "pkg://levelhead.adapters.verl_rewards",
        "name": "compute_score",
        "reward_kwargs": options,
    }
    manager = {"source": "register", "name": "naive", "module": None}
    reward = {"custom_reward_function": function, "reward_manager": manager}
    return omega.create({"reward": reward})


TEXTS, TRUTHS = [PARIS, "<answer>Rome</answer>", PARIS], [["paris"], ["Rome"], ["Rome"]]
WANTED = [0.99, -1.0, -0.81]


@needs_verl
def test_verls_reward_manager_finds_and_calls_it() -> None:
    reward = importlib.import_module("verl.trainer.ppo.reward")
    data = responses(TEXTS, TRUTHS)

    async def run() -> list[dict[str, Any]]:
        manager = reward.load_reward_manager(configuration(rule="rlcr"), Letters())
        return [await manager.run_single(data[i : i + 1]) for i in range(len(TEXTS))]

    found = asyncio.run(run())
    assert [one["reward_score"] for one in found] == pytest.approx(WANTED)
    assert [list(one["reward_extra_info"]) for one in found] == [KEYS] * 3
    assert [one["reward_extra_info"]["acc"] for one in found] == [1.0, 1.0, 0.0]


@needs_verl
def test_the_older_reward_manager_puts_it_on_the_last_token() -> None:
    managers = importlib.import_module("verl.workers.reward_manager")
    get = importlib.import_module("verl.trainer.ppo.reward").get_custom_reward_fn
    manager = managers.NaiveRewardManager(Letters(), 0, get(configuration(rule="rlcr")))
    found = manager(responses(TEXTS, TRUTHS), return_dict=True)
    tensor = found["reward_tensor"]
    assert tensor.sum(1).tolist() == pytest.approx(WANTED)
    assert [int(row.nonzero()[0]) for row in tensor] == [len(text) - 1 for text in TEXTS]
    assert found["reward_extra_info"]["status"] == ["ok", "missing", "ok"]


@needs_verl
def test_verls_validation_metrics_take_what_it_returns() -> None:
    metrics = importlib.import_module("verl.trainer.ppo.metric_utils")
    rows = [compute_score("source", a, b, rule="rlcr") for a, b in zip(TEXTS, TRUTHS, strict=True)]
    infos = {key: [row[key] for row in rows] for key in KEYS}
    found = metrics.process_validation_metrics(["source"] * 3, ["u", "v", "w"], infos)
    assert found["source"]["acc"]["mean@1"] == pytest.approx(2 / 3)
    assert found["source"]["well_formed"]["mean@1"] == pytest.approx(2 / 3)
    assert found["source"]["confidence"]["mean@1"] == pytest.approx(0.9)  # of those that state one
    silent = [compute_score("source", "?", "paris", rule="rlcr") for _ in "abc"]
    nothing = {key: [row[key] for row in silent] for key in KEYS}
    found = metrics.process_validation_metrics(["source"] * 3, ["u", "v", "v"], nothing)
    assert "confidence" not in found["source"]
    assert found["source"]["acc"]["mean@1"] == 0.0
