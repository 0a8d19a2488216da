"""Wrong versions of several processes as one."""

from __future__ import annotations

from mutant import Mutant

DISTRIBUTED = "levelhead.train.distributed"
EXPERIENCE = "levelhead.train.experience"
HERE = "tests/train/test_distributed.py"

MUTANTS = [
    Mutant(
        target=DISTRIBUTED,
        old="total[name] = total.get(name, 0.0) + value",
        new="total[name] = value",
        why="the last rank's sums stand for everybody's",
        tests=[f"{HERE}::test_sums_over_ranks"],
    ),
    Mutant(
        target=DISTRIBUTED,
        old="any(other.get(n) != found[0].get(n) for other in found)",
        new="any(n not in other for other in found)",
        why="ranks with other data or another recipe train together",
        tests=[f"{HERE}::test_ranks_that_are_not_about_to_do_the_same"],
    ),
    Mutant(
        target=EXPERIENCE,
        old="order = np.argsort(place)",
        new="order = np.arange(place.size)",
        why="a rank gets the advantages of another rank's prompts",
        tests=[f"{HERE}::test_an_estimator_sees_the_rewards_of_all_ranks_as_one_process_would"],
    ),
    Mutant(
        target=EXPERIENCE,
        old="first=int(p) * group_size) for p in place]",
        new="first=i * group_size) for i in range(len(place))]",
        why="draws depend on the number of processes",
        tests=[f"{HERE}::test_draws_belong_to_the_place_in_the_step"],
    ),
]
