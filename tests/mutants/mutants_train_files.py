"""Wrong versions of what a run earns, measures, saves, watches and writes down."""

from __future__ import annotations

from mutant import Mutant

REWARD = "levelhead.train.reward"
EVALUATION = "levelhead.train.evaluation"
CHECKPOINT = "levelhead.train.checkpoint"
GUARD = "levelhead.train.calibration_guard"
RUN_JSON = "levelhead.train.run_json"

MUTANTS = [
    Mutant(
        target=REWARD,
        old="return reading.formed\n",
        new="return ~np.isnan(reading.confidence)\n",
        why="an answer task's text without an answer earns what its confidence says",
        tests=["tests/train/test_reward.py::test_answers_without_one_of_their_parts"],
    ),
    Mutant(
        target=REWARD,
        old="rewards = np.where(np.isnan(truth), np.nan, 0.0)",
        new="rewards = np.zeros(truth.size)",
        why="what the verifier cannot judge earns 0, which teaches that it was wrong",
        tests=["tests/train/test_reward.py::test_what_nobody_can_judge_is_nan"],
    ),
    Mutant(
        target=REWARD,
        old="rewards[i] = math.nan if value is None else float(value)",
        new="rewards[i] = 0.0 if value is None else float(value)",
        why="a reward function's None counts as a reward of 0",
        tests=["tests/train/test_reward.py::test_own_function"],
    ),
    Mutant(
        target=EVALUATION,
        old="stand_in = np.where(predictions.label == 1.0, ETA, 1.0 - ETA)",
        new="stand_in = 1.0 - ETA",
        why="output that cannot be read predicts every event, and is right about those that happen",
        tests=["tests/train/test_evaluation.py::test_the_file_is_what_audit_reads"],
    ),
    Mutant(
        target=EVALUATION,
        old="metrics.trust(claim, right) * c.size / (c.size + refusals)",
        new="metrics.trust(claim, right)",
        why="refusals are left out of Trust, so that refusing whatever is hard pays",
        tests=["tests/train/test_evaluation.py::test_undefined_is_nan"],
    ),
    Mutant(
        target=CHECKPOINT,
        old='        if _digest(file) != about["sha256"]:\n',
        new="        if False:\n",
        why="only sizes are compared",
        tests=["tests/train/test_checkpoint.py::test_damage_is_noticed_and_the_one_before_is_used"],
    ),
    Mutant(
        target=CHECKPOINT,
        old="        if final.exists():\n            final.rename(replaced)\n",
        new="        if final.exists():\n            shutil.rmtree(final)\n",
        why="the old checkpoint of a step is gone before the new one is there",
        tests=["tests/train/test_checkpoint.py::test_killed_before_every_call[again]"],
    ),
    Mutant(
        target=CHECKPOINT,
        old="                unfinished.mkdir()\n",
        new="                unfinished = final\n                unfinished.mkdir(exist_ok=True)\n",
        why="written where it stays, so that a full disk leaves half a checkpoint",
        tests=["tests/train/test_checkpoint.py::test_disk_full_while_saving"],
    ),
    Mutant(
        target=CHECKPOINT,
        old="            if record is None and number == len(pieces) - 1:\n                break\n",
        new="",
        why="a line that a power cut filled with zeros ends the run for good",
        tests=["tests/train/test_checkpoint.py::test_history_is_cut_at_a_step"],
    ),
    Mutant(
        target=GUARD,
        old="return self.level / 2 ** (block + 1) / (self.looks * 2**block)",
        new="return self.level",
        why="every look has the whole level",
        tests=[
            "tests/train/test_calibration_guard.py::test_the_shares_of_all_looks_add_up_to_the_level"
        ],
    ),
    Mutant(
        target=GUARD,
        old="if not difference.low > 0.0:",
        new="if not difference.difference > 0.0:",
        why="a plug-in ECE above the baseline's is taken for a rise",
        tests=["tests/train/test_calibration_guard.py::test_honest_runs_are_left_alone"],
    ),
    Mutant(
        target=RUN_JSON,
        old="record = [prompt.prompt_id, said, prompt.outcome, list(prompt.targets)]",
        new="record = [prompt.prompt_id, said, list(prompt.targets)]",
        why="the digest of the data does not see the outcomes",
        tests=["tests/train/test_run_json.py::test_the_digest_of_the_data"],
    ),
]
