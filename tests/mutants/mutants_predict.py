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
        old='self.path.open("a+b", buffering=0)',
        new='self.path.open("a+b")',
        why="leaves replies in a buffer, which a kill takes with it",
        tests=[f"{JOURNAL}::test_a_reply_is_on_its_way_to_the_disk_when_it_is_added"],
    ),
    Mutant(
        target="levelhead.predict.journal",
        old="        if time.monotonic() - self._synced > SYNC_SECONDS:\n            self._sync()\n",
        new="",
        why="leaves replies in the system's memory until the end",
        tests=[f"{JOURNAL}::test_what_is_added_is_brought_to_the_disk"],
    ),
    Mutant(
        target="levelhead.predict.journal",
        old="                    self._file.truncate(end)",
        new="                    pass",
        why="leaves half a line on a full disk, to which the next reply is appended",
        tests=[f"{JOURNAL}::test_a_full_disk_is_one_sentence_and_takes_what_fits_later"],
    ),
    Mutant(
        target="levelhead.predict.journal",
        old="                if self._is_the_file(file):\n                    return file",
        new="                return file",
        why="writes paid replies into a file that another run has just removed",
        tests=[f"{JOURNAL}::test_a_journal_that_another_run_removes_meanwhile_is_opened_anew"],
    ),
    Mutant(
        target="levelhead.predict._calls",
        old="told = [self.settings.seed, identity(self.prompt), self.number, turn]",
        new="told = [self.settings.seed, identity(self.prompt), turn]",
        why="draws every sample of a prompt with one seed",
        tests=[f"{METHODS}::test_each_sample_has_a_seed_of_its_own"],
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
        old='                text = text.replace(form, "***")',
        new="                pass",
        why="repeats a server's sentence with the key in it",
        tests=[f"{TRANSPORT}::test_the_key_is_sent_and_never_shown"],
    ),
    Mutant(
        target="levelhead.predict.transport",
        old="self._answered, self._in_a_row = True, 0",
        new="self._answered = True",
        why="counts failures in a row through the successes between them",
        tests=[f"{TRANSPORT}::test_a_server_that_fails_all_the_time_is_given_up"],
    ),
    Mutant(
        target="levelhead.predict.transport",
        old="self._requests.pause(wait)",
        new="pass",
        why="honors Retry-After for the request that was told and for no other",
        tests=[f"{TRANSPORT}::test_a_pause_holds_for_all_requests"],
    ),
    Mutant(
        target="levelhead.predict.transport",
        old="            await self._sleep(longer)",
        new="            pass",
        why="sends in a pause what had its turn before it",
        tests=[f"{TRANSPORT}::test_a_pause_holds_for_what_waits_for_its_turn_as_well"],
    ),
    Mutant(
        target="levelhead.predict.transport",
        old="        waiting = 0 if self._first_failures >= enough else self._in_flight",
        new="        waiting = 0",
        why="takes five filtered prompts for wrong settings while others are being answered",
        tests=[f"{TRANSPORT}::test_while_others_are_in_flight_refusals_do_not_end_the_run"],
    ),
    Mutant(
        target="levelhead.predict._replies",
        old='return str(error.get("message", error) if isinstance(error, Mapping) else error)',
        new='return str(error.get("message", error) if isinstance(error, Mapping) else error)[:200]',
        why="halves a key before it is looked for",
        tests=[f"{TRANSPORT}::test_a_key_that_a_cut_would_halve_is_not_shown"],
    ),
    Mutant(
        target="levelhead.predict._pace",
        old="        longer = max(now + seconds - free, 0.0)",
        new="        longer = now + seconds - free",
        why="lets a short pause end a long one",
        tests=[f"{TRANSPORT}::test_a_pace_by_hand"],
    ),
    Mutant(
        target="levelhead.predict.methods",
        old="(votes.count(k), -k)",
        new="(votes.count(k), k)",
        why="gives a tie of votes to the last option",
        tests=[f"{METHODS}::test_a_tie_of_votes_is_the_first_option"],
    ),
    Mutant(
        target="levelhead.predict.methods",
        old="asked.first_token(asked.messages(text), 1)",
        new='asked.first_token([{"role": "user", "content": text}], 1)',
        why="asks a judge that has not heard the conversation",
        tests=[f"{METHODS}::test_the_judge_sees_the_whole_conversation"],
    ),
    Mutant(
        target="levelhead.predict.running",
        old="self.progress.uncounted += reply.prompt_tokens is None",
        new="pass",
        why="shows the tokens of some replies as those of all",
        tests=[f"{RUNNING}::test_a_prompt_that_is_always_refused_does_not_stop_a_resumed_run"],
    ),
    Mutant(
        target="levelhead.predict.running",
        old="        if call is not None and self._look(call, reply):",
        new="        if call is not None and (self._look(call, reply) or True):",
        why="keeps replies without log-probabilities, so that no later run gets past them",
        tests=[f"{RUNNING}::test_a_reply_without_logprobs_is_not_kept"],
    ),
    Mutant(
        target="levelhead.predict.running",
        old="                fatal.append(error)\n",
        new="                raise\n",
        why="throws away what is paid for and in flight when another request ends the run",
        tests=[f"{RUNNING}::test_what_is_in_flight_at_a_fatal_error_is_kept"],
    ),
    Mutant(
        target="levelhead.predict.running",
        old="        if choice.top is not None or (known and not refused):",
        new="        if choice.top is not None:",
        why="takes replies of an earlier run without log-probabilities for a server that has none",
        tests=[
            f"{RUNNING}::test_one_odd_reply_does_not_end_a_run_that_reads_logprobs",
            f"{RUNNING}::test_odd_replies_of_an_earlier_run_do_not_end_this_one",
        ],
    ),
]
