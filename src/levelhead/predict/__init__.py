"""Asking a model: from prompts to a predictions file, through a server or in this process.

`read_questions` or `of_task` says what is asked, `Settings` how, `predict` asks and keeps every reply
in a journal beside the output, so that nothing is asked twice.
"""

from __future__ import annotations

from levelhead.predict.assembly import Answered, assembled
from levelhead.predict.journal import Journal
from levelhead.predict.methods import METHODS
from levelhead.predict.questions import Questions, of_task, read_questions
from levelhead.predict.running import Progress, Result, predict
from levelhead.predict.settings import Settings
from levelhead.predict.transport import Connection

__all__ = [
    "METHODS",
    "Answered",
    "Connection",
    "Journal",
    "Progress",
    "Questions",
    "Result",
    "Settings",
    "assembled",
    "of_task",
    "predict",
    "read_questions",
]
