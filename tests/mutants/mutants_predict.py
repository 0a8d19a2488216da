"""Wrong versions of what asks models."""

from __future__ import annotations

from mutant import Mutant

JOURNAL = "tests/predict/test_journal.py"
TRANSPORT = "tests/predict/test_transport.py"
METHODS = "tests/predict/test_methods.py"
RUNNING = "tests/predict/test_running.py"

MUTANTS = [
    Mutant(
        target="levelhead.predict.journal",
        old="        if self._file.tell() > good:\n            self._file.truncate(good)\n",
        new="",
        why="leaves half a line at the end, to which the next reply is appended",
        tests=[f"{JOURNAL}::test_a_torn_last_line_is_dropped"],
    ),
    Mutant(
        target="levelhead.predict.journal",
        old="self._file.flush()  # a killed process loses nothing that it had been told",
        new="pass",
        why="leaves replies in a buffer, which a kill takes with it",
        tests=[f"{JOURNAL}::test_a_reply_is_on_its_way_to_the_disk_when_it_is_added"],
    ),
    Mutant(
        target="levelhead.predict._calls",
        old="_digest([path, body, self.number, turn])",
        new="_digest([path, body, turn])",
        why="takes equal prompts for one sample where the seed has been taken out",
        tests=[f"{METHODS}::test_samples_without_a_seed_are_still_different"],
    ),
    Mutant(
        target="levelhead.predict.methods",
        old="return [one / total for one in mass], min(max(1.0 - total, 0.0), 1.0)",
        new="return mass, min(max(1.0 - total, 0.0), 1.0)",
        why="does not renormalize the options' probabilities",
        tests=[f"{METHODS}::test_shares_by_hand"],
    ),
    Mutant(
        target="levelhead.predict.methods",
        old="Elicited(answers[most[0]], len(most) / len(choices),",
        new="Elicited(answers[most[0]], len(most) / sum(map(len, groups)),",
        why="leaves samples without an answer out of the agreement",
        tests=[f"{METHODS}::test_agreement_by_hand"],
    ),
    Mutant(
        target="levelhead.predict.transport",
        old="return float(self._backoff(state)) + (error.wait or 0.0)",
        new="return float(self._backoff(state))",
        why="does not honor Retry-After",
        tests=[f"{TRANSPORT}::test_the_wait_is_what_the_server_asks_for_and_more"],
    ),
    Mutant(
        target="levelhead.predict.transport",
        old='            text = text.replace(key, "***")',
        new="            pass",
        why="repeats a server's sentence with the key in it",
        tests=[f"{TRANSPORT}::test_the_key_is_sent_and_never_shown"],
    ),
    Mutant(
        target="levelhead.predict.running",
        old="        sample.send(reply)\n        if call is not None:",
        new="        if call is not None:\n            self.journal.add(call.key, reply)\n"
        "        sample.send(reply)\n        if call is not None:",
        why="keeps a reply that the method refuses, so that no later run gets past it",
        tests=[f"{RUNNING}::test_a_reply_without_logprobs_is_not_kept"],
    ),
]
