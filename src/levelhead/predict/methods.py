"""How a confidence is elicited: each method is a generator that yields requests and is sent replies.

A method knows nothing of networks or files, so that a reply may come from a server, from a model in
this process, or from the journal of an earlier run.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from levelhead.elicitation import TABLE as ELICITATIONS
from levelhead.elicitation import Elicited
from levelhead.errors import InvalidInputError
from levelhead.predict._calls import Asked, Call
from levelhead.predict._replies import Choice, Reply, visible
from levelhead.predict.questions import Questions
from levelhead.predict.settings import Settings, spelled
from levelhead.tasks import Prompt
from levelhead.tasks._verify import exact
from levelhead.tasks.multiple_choice import LETTERS, parted

__all__ = ["METHODS", "Elicitation", "Method", "Said", "elicit", "option_shares"]

EVENT_INSTRUCTION = (
    "Think it through, then give the probability in percent, a whole number from 1 to 99, in "
    "<answer></answer> tags."
)
ANSWER_INSTRUCTION = (
    "Think it through, then give your final answer in <answer></answer> tags, and after it how "
    "likely it is to be right, as a number from 0 to 1, in <confidence></confidence> tags."
)
PLAIN_INSTRUCTION = "Think it through, then give your final answer in <answer></answer> tags."
LETTER_INSTRUCTION = "Answer with the letter of the right option and nothing else."
YES_NO = ("Yes", "No")
TRUE_FALSE = ("True", "False")
REFUSED = Elicited(None, None, "refusal")


@dataclasses.dataclass(frozen=True)
class Said:
    """What one sample came to.

    Attributes:
        elicited: the answer, the confidence and the status.
        text: what the model said, reasoning in tags included.
        reasoning: what the server kept apart as reasoning, or None.
        finish: why the answer ended, or None where the server does not say.
        details: further columns of the predictions.
    """

    elicited: Elicited
    text: str
    reasoning: str | None = None
    finish: str | None = None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])


Elicitation = Generator[Call, Reply, Said]
"""Yields requests, is sent their replies, and returns what was said."""


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to elicit a confidence.

    Attributes:
        name: what `--method` calls it.
        run: (sample, questions) -> its generator.
        kinds: what it can be asked about, `answer` or `event`.
        description: one line.
        reference: who published it.
    """

    name: str
    run: Callable[[Asked, Questions], Elicitation]
    kinds: tuple[str, ...]
    description: str
    reference: str = ""


def elicit(questions: Questions, settings: Settings) -> list[tuple[Prompt, Elicitation]]:
    """The samples of all prompts, each with the generator that asks for it.

    Args:
        questions: what is asked.
        settings: how.

    Returns:
        In the order of the prompts; the samples of a prompt stand next to one another.

    Raises:
        InvalidInputError: the method cannot be asked about such questions, or has no options.

    Edge cases: prompts of equal texts are different samples, with seeds of their own.
    """
    method = METHODS[settings.method]
    if questions.kind not in method.kinds:
        hint = "; ask with --method options (Yes or No)" if questions.kind == "event" else ""
        raise InvalidInputError(
            f"method: expected one for {questions.kind}s, got {method.name}, which asks about "
            f"{' and '.join(method.kinds)}s{hint}"
        )
    form = settings.elicitation
    if form is not None:
        questions = dataclasses.replace(questions, elicitation=form)
    if questions.complete and method.name != "verbalized":
        questions = questions.without_format()
    repeats = settings.samples if method.name in ("verbalized", "p-true") else 1
    seen: dict[str, int] = {}
    found: list[tuple[Prompt, Elicitation]] = []
    for prompt in questions.prompts:
        options = _options(prompt, questions, settings)
        instruction = _instruction(questions, settings, options)
        for _ in range(repeats):
            same = repr(prompt.messages)
            number = seen[same] = seen.get(same, -1) + 1
            asked = Asked(prompt, number, settings, instruction, options)
            found.append((prompt, method.run(asked, questions)))
    return found


def option_shares(
    top: Sequence[tuple[str, float]], options: Sequence[str]
) -> tuple[list[float], float]:
    """How the probability of the first token divides among some words, and how much lies elsewhere.

    share_k = p_k / sum_j p_j, outside = 1 - sum_j p_j, p_k the sum over tokens that spell option k

    Args:
        top: (token, log-probability in nats) of the most likely tokens.
        options: (K,) different words.

    Returns:
        (shares, outside): (K,) in [0, 1] that sum to 1, all NaN where no option is among the tokens;
        and the mass in [0, 1] on other tokens, those that were not listed included.

    Edge cases: space and quotation marks around a word do not count, nor does case, except for single
        letters (the article `a` is no option A). A token that is not listed counts as 0.
    Reference: Kadavath et al. 2022 (arXiv:2207.05221).

    Example:
        >>> shares, outside = option_shares([("Yes", math.log(0.6)), (" No", math.log(0.2))], YES_NO)
        >>> [round(share, 3) for share in shares], round(outside, 3)
        ([0.75, 0.25], 0.2)
    """
    index = {spelled(word): k for k, word in enumerate(options)}
    mass = [0.0] * len(options)
    for token, logprob in top:
        k = index.get(spelled(token))
        if k is not None:
            mass[k] += math.exp(min(logprob, 0.0))
    total = math.fsum(mass)
    if total <= 0.0:
        return [math.nan] * len(options), 1.0
    return [one / total for one in mass], min(max(1.0 - total, 0.0), 1.0)


def verbalized(asked: Asked, questions: Questions) -> Elicitation:
    """The model says its confidence in words, in the format of the questions."""
    choice = (yield asked.answer(0)).choices[0]
    found = ELICITATIONS[questions.elicitation].parse(visible(choice.text))
    return _said(choice, found)


def options(asked: Asked, questions: Questions) -> Elicitation:
    """The probabilities of the first token over some words; the likeliest is the answer."""
    call = asked.first_token(asked.messages(), 0)
    choice = (yield call).choices[0]
    if _refused(choice):
        return _said(choice, REFUSED)
    if choice.top is None:
        return _said(choice, Elicited(None, None, "unparsable"))
    shares, outside = option_shares(choice.top, asked.options)
    details = {"option_shares": shares, "outside": outside}
    if math.isnan(shares[0]):
        return _said(choice, Elicited(None, None, "unparsable"), details | {"option_shares": None})
    best = max(range(len(shares)), key=shares.__getitem__)
    confidence = shares[0] if questions.kind == "event" else shares[best]
    answer = asked.options[best]
    return _said(choice, Elicited(answer, confidence, "ok", "computed"), details)


def p_true(asked: Asked, questions: Questions) -> Elicitation:
    """An answer first; then, in a new conversation, the probability that it is called true.

    What was said before the question, the system message included, comes before both.
    """
    choice = (yield asked.answer(0)).choices[0]
    answer = _answer(choice)
    if answer is None:
        return _said(choice, Elicited(None, None, "missing"))
    question = asked.prompt.messages[-1]["content"].strip()
    text = (
        f"Question: {question}\n\nProposed answer: {answer}\n\nIs the proposed answer correct? "
        "Answer with True or False and nothing else."
    )
    if asked.settings.endpoint == "completions":
        text += "\n\nThe proposed answer is:"
    judged = (yield asked.first_token(asked.messages(text), 1)).choices[0]
    if _refused(judged):
        return _said(choice, dataclasses.replace(REFUSED, answer=answer))
    if judged.top is None:
        return _said(choice, Elicited(answer, None, "unparsable"))
    shares, outside = option_shares(judged.top, TRUE_FALSE)
    details = {"outside": outside}
    if math.isnan(shares[0]):
        return _said(choice, Elicited(answer, None, "unparsable"), details)
    return _said(choice, Elicited(answer, shares[0], "ok", "computed"), details)


def consistency(asked: Asked, questions: Questions) -> Elicitation:
    """Several answers; the share that agrees with the most frequent one is its confidence."""
    settings, choices, turn = asked.settings, list[Choice](), 0
    while len(choices) < settings.samples:
        wanted = min(settings.samples - len(choices), settings.per_request)
        reply = yield asked.answer(turn, wanted)
        choices += reply.choices[:wanted]  # servers that cap n, or know none, give fewer
        turn += 1
    answers = [_answer(choice) for choice in choices]
    if questions.kind == "event":
        return _vote_on_event(asked, choices, answers)
    groups: list[list[int]] = []
    for i, answer in enumerate(answers):
        if answer is None:
            continue
        for group in groups:
            if _agree(answer, answers[group[0]] or "", questions, asked.prompt):
                group.append(i)
                break
        else:
            groups.append([i])
    details = {"votes": max(map(len, groups), default=0), "samples": len(choices)}
    if not groups:
        return _said(choices[0], Elicited(None, None, "missing"), details)
    most = max(groups, key=len)
    elicited = Elicited(answers[most[0]], len(most) / len(choices), "ok", "computed")
    return _said(choices[most[0]], elicited, details)


def _vote_on_event(asked: Asked, choices: Sequence[Choice], answers: Sequence[str | None]) -> Said:
    """The share of the first option among the answers that are one of the options."""
    index = {spelled(word): k for k, word in enumerate(asked.options)}
    votes = [k for a in answers if a is not None and (k := index.get(spelled(a))) is not None]
    details = {"votes": votes.count(0), "samples": len(choices)}
    if not votes:
        return _said(choices[0], Elicited(None, None, "missing"), details)
    share = votes.count(0) / len(votes)
    answer = asked.options[max(set(votes), key=lambda k: (votes.count(k), -k))]
    return _said(choices[0], Elicited(answer, share, "ok", "computed"), details)


def _said(choice: Choice, elicited: Elicited, details: Mapping[str, Any] | None = None) -> Said:
    if _refused(choice) and elicited.status != "ok":
        elicited = REFUSED
    text = choice.text or choice.refusal or ""
    return Said(elicited, text, choice.reasoning, choice.finish, details or {})


def _refused(choice: Choice) -> bool:
    return choice.refusal is not None or choice.finish == "content_filter"


def _answer(choice: Choice) -> str | None:
    """What the last answer tag holds; a whole text without tags is an answer as a whole."""
    text = visible(choice.text)
    found = ELICITATIONS["answer_confidence_tags"].parse(text).answer
    whole = choice.finish != "length" and not _refused(choice)
    if found is None and "<answer>" not in text.casefold() and whole:
        found = text.strip()
    return found or None


def _agree(one: str, other: str, questions: Questions, prompt: Prompt) -> bool:
    if exact(one, [other]) == 1.0:
        return True
    if questions.verify is None:
        return False
    for said, target in ((one, other), (other, one)):
        if questions.verify(said, dataclasses.replace(prompt, targets=(target,))) != 1.0:
            return False
    return True


def _options(prompt: Prompt, questions: Questions, settings: Settings) -> tuple[str, ...]:
    needed = settings.method == "options" or (
        settings.method == "consistency" and questions.kind == "event"
    )
    if not needed or settings.options:
        return settings.options
    if questions.kind == "event":
        return YES_NO
    count = prompt.columns.get("n_options")
    if not isinstance(count, int):
        count = len(parted(prompt.messages[-1]["content"])[1])
    if count < 2:
        raise InvalidInputError(
            f"options: prompt {prompt.prompt_id!r} lists none as lines such as 'A) bank'; name the "
            "words to choose from, as in --options A,B,C,D"
        )
    return tuple(LETTERS[:count])


def _instruction(questions: Questions, settings: Settings, options: tuple[str, ...]) -> str:
    if settings.instruction is not None:
        return settings.instruction
    event = questions.kind == "event"
    if settings.method == "verbalized":
        own = EVENT_INSTRUCTION if event else ANSWER_INSTRUCTION
        return "" if questions.complete else own
    if settings.method == "options":
        letters = not event and all(len(word) == 1 for word in options)
        return (
            LETTER_INSTRUCTION if letters else f"Answer with {_listed(options)} and nothing else."
        )
    if event:
        return f"Think it through, then give {_listed(options)} in <answer></answer> tags."
    return PLAIN_INSTRUCTION


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "verbalized",
            verbalized,
            ("answer", "event"),
            "the model states a confidence in its reply",
            "Tian et al. 2023 (arXiv:2305.14975)",
        ),
        Method(
            "options",
            options,
            ("answer", "event"),
            "probabilities of the first token over A, B, C, D or Yes, No",
            "Kadavath et al. 2022 (arXiv:2207.05221)",
        ),
        Method(
            "p-true",
            p_true,
            ("answer",),
            "an answer, then the probability that a second question calls it true",
            "Kadavath et al. 2022 (arXiv:2207.05221)",
        ),
        Method(
            "consistency",
            consistency,
            ("answer", "event"),
            "the share of several samples that agree",
            "Wang et al. 2022 (arXiv:2203.11171)",
        ),
    )
}
"""The methods by name; `--method` takes these names."""
