"""A dry run shows what would be done, and finds what would stop it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from transformers import MambaConfig, Qwen3Config

from levelhead.train import dry_run as dry_run_module
from levelhead.train.config import Recipe, load
from levelhead.train.dry_run import DryRun, dry_run

SMALL = ("task.kind=oracle", "task.train=12", "task.evaluation=4", "rollout.prompts=4", "steps=6")


def recipe(model: Path | str, *overrides: str) -> Recipe:
    return load(None, [*SMALL, f"model.path={model}", *overrides])


def told(found: DryRun) -> dict[str, str]:
    return {name.strip(): text for name, text in found.lines}


def test_what_it_shows(tiny_model: Path) -> None:
    overrides = ("rollout.group_size=3", "algorithm.epochs=2")
    found = dry_run(recipe(tiny_model, *overrides, "algorithm.estimator=rb_exact"))
    assert found.problems == ()
    lines = told(found)
    assert lines["task"] == "oracle: 12 training prompts, 4 held out"
    assert "% of the training prompts" in lines["outcomes"]
    assert "million parameters" in lines["model"]
    # Keys and values x 2 layers x 1 head x 16 numbers x 4 bytes; 12 rows of the longest prompt and 16.
    longest = int(lines["prompt tokens"].split("in the middle, ")[1].split()[0])
    assert lines["keys and values"] == (
        f"{12 * (longest + 16) * 256 / 2**20:.1f} MiB at most: 12 completions at once "
        f"(rollout.max_rows) x {longest + 16} tokens x 256 bytes"
    )
    assert lines["as the model sees it"].startswith("'<|im_start|>user")
    assert lines["answer tokens"] == "'<answer>' '50' '</answer>'"
    assert lines["exact answers"] == "99 answers from 1 position of the model"
    assert lines["<answer>1</answer>"] == f"{math.log(0.99):.4g} when the outcome is 0"
    assert lines["reward"] == f"log; malformed output {math.log(0.01):.4g}"
    assert lines["I would rather not say."].startswith(f"{math.log(0.01):.4g} when")
    assert lines["a step"].startswith(
        "4 prompts x 3 = 12 completions of at most 16 tokens, 2 updates"
    )
    assert lines["the run"] == "6 steps, 12 updates, 72 completions, 2.0 passes over the prompts"


def test_what_the_estimator_makes_of_some_rewards(tiny_model: Path) -> None:
    overrides = ("algorithm.estimator=rloo", "rollout.group_size=4")
    lines = told(dry_run(recipe(tiny_model, *overrides)))
    # (-0.1 - 0.1 - 0.7 - 2.3) = -3.2; r - mean of the other three
    expected = [r - (-3.2 - r) / 3 for r in (-0.1, -0.1, -0.7, -2.3)]
    assert lines["rewards -0.1 -0.1 -0.7 -2.3"] == "advantages " + " ".join(
        f"{a:.4g}" for a in expected
    )


def test_keys_and_values_of_a_large_model() -> None:
    config = Qwen3Config(
        hidden_size=2560,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
    )
    grpo = load("crispr-qwen3-4b-grpo")
    ((_, text),) = dry_run_module._of_cache(grpo, config, 1024)
    # 2 x 36 x 8 x 128 x 4 bytes a token, 64 x (1,024 + 2,048) tokens.
    assert text.startswith("54.0 GiB at most: 64 completions")
    assert text.endswith("x 3072 tokens x 294,912 bytes")
    half = load("crispr-qwen3-4b-grpo", ["model.dtype=bfloat16"])
    assert dry_run_module._of_cache(half, config, 1024)[0][1].startswith("27.0 GiB")
    assert dry_run_module._of_cache(grpo, MambaConfig(), 1024) == []


def test_a_model_that_is_not_here_is_not_fetched() -> None:
    found = dry_run(recipe("nobody/no-such-model"))
    assert found.problems == ()
    assert told(found)["model"].startswith("nobody/no-such-model, not on this machine")
    assert "prompt tokens" not in told(found)


def test_the_embedded_model_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = dry_run(load(None, ["task.kind=oracle", "task.train=32"]))
    assert found.problems == ()
    assert told(found)["model"].startswith("embedded: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (
            ("rollout.max_prompt_tokens=5",),
            "rollout.max_prompt_tokens: expected at most 5 tokens, got",
        ),
        (
            ("model.chat_template=/no/such/file",),
            "model.chat_template: expected a file with a chat",
        ),
        (("reward.rule=no.such.module:f",), "no.such.module:f: "),
        (
            ("reward.rule={own}:raises",),
            "reward .*own.py:raises: the function raised KeyError: 'x'",
        ),
        (("algorithm.estimator=no.such.module:f",), "no.such.module:f: "),
        (
            ("rollout.max_new_tokens=2",),
            "rollout.max_new_tokens: expected at least 3, the tokens of '<answer>1</answer>', got 2",
        ),
        (
            ("algorithm.estimator={own}:estimates",),
            "estimator .*own.py:estimates: expected one advantage for each of .* got shape",
        ),
        (("task.kind=probability", "task.path=/no/such.csv"), "/no/such.csv: "),
    ],
)
def test_what_would_stop_it(
    overrides: Sequence[str], problem: str, tiny_model: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "def raises(prompts, texts, elicited): return {}['x']\n"
        "def estimates(rewards, groups): return rewards[1:]\n"
    )
    settings = [text.format(own=own) for text in overrides]
    if settings[0].startswith("task.kind"):
        chosen = load(None, [*settings, "task.prompt='{x}'", "task.outcome=y"])
    else:
        chosen = recipe(tiny_model, *settings)
    found = dry_run(chosen)
    assert len(found.problems) == 1
    assert problem.split(".*")[0] in found.problems[0]
    assert problem.split(".*")[-1] in found.problems[0]
    assert "\n" not in found.problems[0]


def test_a_template_is_what_a_model_needs(tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (folder / "chat_template.jinja").unlink()
    (problem,) = dry_run(recipe(folder)).problems
    assert problem.startswith("model.chat_template: the tokenizer has none")
