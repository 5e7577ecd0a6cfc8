"""Resampling experiments: where a generation decided its answer."""

from sloc.lm.experiments.accuracy import Difference, Share, WindowAccuracy, share_of, window_accuracy
from sloc.lm.experiments.benchmarks import benchmark_question
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.detection import TextWindow, find_text_windows
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.interventions import Arm, Interventions, compare_interventions
from sloc.lm.experiments.questions import Question, read_questions
from sloc.lm.experiments.revisions import Revision, revise, revision_problems, revision_recordings
from sloc.lm.experiments.runs import Experiment, Graded, QuestionRun
from sloc.lm.experiments.structured import TemplateJumps, template_jumps

__all__ = [
    "Arm",
    "Cuts",
    "Difference",
    "Experiment",
    "ExperimentSettings",
    "Graded",
    "Interventions",
    "Question",
    "QuestionRun",
    "Revision",
    "Share",
    "TemplateJumps",
    "TextWindow",
    "WindowAccuracy",
    "benchmark_question",
    "compare_interventions",
    "find_text_windows",
    "read_questions",
    "revise",
    "revision_problems",
    "revision_recordings",
    "run_experiment",
    "share_of",
    "template_jumps",
    "window_accuracy",
]
