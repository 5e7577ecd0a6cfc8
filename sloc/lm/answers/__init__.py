"""Reading answers out of texts; nothing that a model wrote is ever executed."""

from sloc.lm.answers.contract import NOT_FOUND, Task
from sloc.lm.answers.judge import JudgeTask
from sloc.lm.answers.mathematics import MathTask
from sloc.lm.answers.tasks import ChoiceTask, FunctionTask, JsonTask, RegexTask, read_task
from sloc.lm.answers.template import ChoicePoint, Template, TemplateTask, same_choices_curve

__all__ = [
    "NOT_FOUND",
    "ChoicePoint",
    "ChoiceTask",
    "FunctionTask",
    "JsonTask",
    "JudgeTask",
    "MathTask",
    "RegexTask",
    "Task",
    "Template",
    "TemplateTask",
    "read_task",
    "same_choices_curve",
]
