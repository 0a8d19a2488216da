"""The rules on whole files: the paper's runs, a clean one, the labelled corpus."""

from __future__ import annotations

import collections
import sys
from pathlib import Path

import pytest

from levelhead.errors import InvalidInputError, RecordError
from levelhead.lint import all_rules, check, lint, read_text

sys.path.insert(0, str(Path(__file__).resolve().parent))

from render import entries, render

PAPER = """\
python3 -m verl.trainer.main_ppo \\
    {estimator} \\
    data.train_batch_size=512 data.max_response_length=2048 \\
    actor_rollout_ref.model.path=Qwen/Qwen3-4B \\
    actor_rollout_ref.actor.optim.lr=1e-6 actor_rollout_ref.actor.ppo_mini_batch_size=64 \\
    actor_rollout_ref.actor.clip_ratio=0.2 \\
    actor_rollout_ref.actor.use_kl_loss=True actor_rollout_ref.actor.kl_loss_coef=0.001 \\
    actor_rollout_ref.actor.kl_loss_type=low_var_kl \\
    actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum-norm \\
    actor_rollout_ref.rollout.n=4 actor_rollout_ref.rollout.temperature=1.0 \\
    algorithm.gamma=1.0 algorithm.lam=1.0 critic.optim.lr=1e-5 \\
    custom_reward_function.path=reward.py trainer.total_epochs=16
"""
"""The launch settings of arXiv:2508.11800."""

RUNS = {
    "algorithm.adv_estimator=grpo": ["group-std"],
    "algorithm.adv_estimator=grpo algorithm.norm_adv_by_std_in_grpo=False": [],
    "algorithm.adv_estimator=rloo": [],
    "algorithm.adv_estimator=gae": [],
}

CLEAN = {
    "clean.py": "from trl import GRPOConfig\nGRPOConfig(scale_rewards='none', loss_type='dr_grpo')\n",
    "clean.yaml": "num_generations: 8\nscale_rewards: none\nloss_type: dr_grpo\nbeta: 0.001\n",
    "clean.sh": "python -m openrlhf.cli.train_ppo_ray --advantage_estimator rloo "
    "--n_samples_per_prompt 8 --remote_rm_url brier.py --init_kl_coef 0.001\n",
}


@pytest.mark.parametrize("estimator", RUNS)
def test_of_the_papers_four_runs_only_grpo_is_flagged(estimator: str) -> None:
    (settings,) = read_text(PAPER.format(estimator=estimator), "run.sh")
    assert [one.rule for one in check(settings)] == RUNS[estimator]


@pytest.mark.parametrize("name", CLEAN)
def test_nothing_is_found_in_a_clean_configuration(name: str) -> None:
    (settings,) = read_text(CLEAN[name], name)
    assert check(settings) == []


def test_the_labelled_corpus() -> None:
    found, wrong, missed = (collections.Counter[str]() for _ in range(3))
    for entry in entries():
        name, text = render(entry)
        fired = {one.rule for settings in read_text(text, name) for one in check(settings)}
        labels = set(entry["labels"])
        assert labels <= {rule.id for rule in all_rules()}
        found.update(fired & labels)
        wrong.update(fired - labels)
        missed.update(labels - fired)
    right = found.total()
    assert right / (right + wrong.total()) >= 0.95
    assert right / (right + missed.total()) >= 0.9
    index = Path(__file__).resolve().parents[2] / "docs" / "lint" / "index.md"
    said = index.read_text(encoding="utf-8")
    for name in set(found) | set(wrong) | set(missed):
        assert f"| {name} | {found[name]} | {wrong[name]} | {missed[name]} |" in said


def test_a_finding_names_its_place(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text(
        "X=grpo\npython -m verl.trainer.main_ppo \\\n  algorithm.adv_estimator=$X \\\n"
        "  actor_rollout_ref.rollout.n=8 custom_reward_function.path=r.py\n"
    )
    (first, *_) = lint([path]).findings
    assert (first.rule, first.severity, first.file) == ("group-std", "error", str(path))
    assert (first.line, first.key, first.value, first.default) == (
        3,
        "algorithm.adv_estimator",
        "grpo",
        False,
    )
    assert first.probe == "levelhead probe verl:grpo"


def test_what_the_user_says_of_the_reward(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("num_generations: 8\nloss_type: dr_grpo\nreward_funcs: [mine]\n")
    assert [one.severity for one in lint([path]).findings] == ["error"]
    told = lint([path], reward="correctness").findings
    assert [(one.rule, one.severity) for one in told] == [
        ("binary-reward", "warning"),
        ("group-std", "warning"),
    ]


def test_rules_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("num_generations: 8\n")
    report = lint([path], ignore=["group-std"])
    assert [one.rule for one in report.findings] == ["token-mean"]
    assert not report.failed(strict=True)
    with pytest.raises(
        InvalidInputError, match="rule: expected one of .* did you mean 'group-std'"
    ):
        lint([path], ignore=["group-sdt"])
    with pytest.raises(InvalidInputError, match="reward: expected one of"):
        lint([path], reward="brier")


def test_when_a_build_fails(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("num_generations: 8\nscale_rewards: none\nloss_type: grpo\n")
    report = lint([path])
    assert [one.severity for one in report.findings] == ["warning"]
    assert not report.failed()
    assert report.failed(strict=True)


def test_equal_findings_are_told_once(tmp_path: Path) -> None:
    path = tmp_path / "r.sh"
    path.write_text(
        "A=(algorithm.adv_estimator=grpo actor_rollout_ref.rollout.n=4)\n"
        + 'python -m verl.trainer.main_ppo "${A[@]}" custom_reward_function.path=r.py\n' * 2
    )
    report = lint([path])
    assert len(report.runs) == 2
    assert [one.rule for one in report.findings].count("group-std") == 1


def test_a_file_of_no_use_does_not_hide_the_others(tmp_path: Path) -> None:
    good, other = tmp_path / "c.yaml", tmp_path / "other.yaml"
    good.write_text("num_generations: 8\n")
    other.write_text("foo: 1\n")
    with pytest.raises(RecordError, match="got none that is recognized"):
        lint([other, good])
    report = lint([other, good], skip=True)
    assert [one.rule for one in report.findings] == ["group-std", "token-mean"]
    assert [one.path for one in report.skipped] == [str(other)]
    with pytest.raises(RecordError, match="got none that is recognized"):
        lint([other, other], skip=True)


def test_a_folder_has_the_runs_of_its_configurations(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="expected a folder with configurations of TRL, verl"):
        lint([tmp_path])
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "notes.yaml").write_text("foo: 1\n")
    (tmp_path / "run.yaml").write_text("num_generations: 8\n")
    report = lint([tmp_path])
    assert [Path(run.file).name for run in report.runs] == ["run.yaml"]
    assert report.skipped == ()
