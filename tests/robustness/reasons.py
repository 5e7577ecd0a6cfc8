"""Public names that have no row in the sweep, each with the reason."""

from __future__ import annotations

RECORDS = "a record that the library makes and hands back; those that are made by hand have rows"
ABSTRACT = "a contract that outside classes derive from; classes that break it: tests/divergence/test_bad_input.py"
ERROR = "an error or a warning: raised, not called"
VALUE = "a value or a name for types: not called"
NOTHING = "takes nothing that could be wrong: no arguments or parameters"
INSIDE = "runs inside compiled code on arrays that the engine or a kernel made: it is traced, and cannot look at values"
LAUNCH = "joins the launch that the environment describes; wrong environments are in tests/engine/test_processes.py"

BASES = "are of base classes, where every call is refused: each class that derives from one defines its own"
DRAWN = "are asked by statistics in compiled code, of draws that the engine made"
TREES = "are called by JAX, with placeholders too, and may look at nothing"
OUTSIDE = "are of contracts that outside classes derive from, or of what a server or PyTorch answers"
FOLLOWS = "take a process, a population or a result, which is checked where it is made or measured"
READ = "read and draw what the library made, or are asked by the library alone"

METHODS: dict[str, tuple[str, ...]] = {
    BASES: (
        *("sample", "log_prob", "degrade", "bridge", "transition", "inverse"),
        *("posterior_joint", "bridge_pair", "log_affinities"),
    ),
    DRAWN: ("stratum_weights", "average", "conditional"),
    TREES: ("tree_unflatten",),
    OUTSIDE: (
        *("generate", "fork", "prompt_tokens", "prompt", "extract", "extract_stump", "extract_all", "same", "right"),
        "bind",
    ),
    FOLLOWS: ("marginals_words", "estimates_marginals", "exact_marginals_by", "way", "exactness_under", "validate"),
    READ: (
        *("plot", "texts", "tokens", "window", "long", "from_json", "from_settings", "reporting", "chosen"),
        *("scaled_to", "start", "populations", "windows", "merged", "check_on"),
    ),
}
"""Names of methods with parameters that have no row, each with what such methods do."""

REASONS: dict[str, tuple[str, ...]] = {
    RECORDS: (
        *("sloc.Estimate", "sloc.MixtureTree", "sloc.TheoremWindow", "sloc.Window"),
        "sloc.contracts.Marginals",
        *("sloc.bayes.ChainDiagnostics", "sloc.bayes.ChangePosterior", "sloc.bayes.EdgePosterior"),
        *("sloc.bayes.MergePosterior", "sloc.bayes.MixturePosterior", "sloc.bayes.WindowAgreement"),
        *("sloc.bayes.WindowPosterior", "sloc.divergence.BridgeDraw", "sloc.divergence.Draws", "sloc.divergence.Term"),
        *("sloc.lm.Arm", "sloc.lm.Branches", "sloc.lm.ChoicePoint", "sloc.lm.Continuation"),
        *("sloc.lm.Counters", "sloc.lm.Difference", "sloc.lm.Experiment", "sloc.lm.Failure", "sloc.lm.Generation"),
        *("sloc.lm.Graded", "sloc.lm.Interventions", "sloc.lm.LanguageModel", "sloc.lm.LikelihoodPaths"),
        *("sloc.lm.LikelihoodTrace", "sloc.lm.Prefix", "sloc.lm.QuestionRun", "sloc.lm.RecallAt"),
        *(
            "sloc.lm.Revision",
            "sloc.lm.Roc",
            "sloc.lm.Rotary",
            "sloc.lm.Share",
            "sloc.lm.Template",
        ),
        *("sloc.lm.TemplateJumps", "sloc.lm.TextWindow", "sloc.lm.Tokenizer", "sloc.lm.WindowAccuracy"),
        *("sloc.nn.Calibration", "sloc.nn.Fitted", "sloc.report.ProcessWindows"),
        *("sloc.results.Check", "sloc.results.Condition", "sloc.results.Move"),
        *("sloc.results.Moves", "sloc.results.OutcomeCurve", "sloc.results.OutcomeDistances"),
        *("sloc.results.ResampledCurve", "sloc.results.RiseStep", "sloc.results.TraceWindows", "sloc.results.TreeNode"),
        *("sloc.samplers.Localization", "sloc.samplers.LocalizationStatistics"),
        *("sloc.samplers.LocalizerInfo", "sloc.samplers.LocalizerState"),
        *("sloc.samplers.Prediction", "sloc.testing.ConformanceReport"),
        *("sloc.windows.Allocation", "sloc.windows.QuestionTraces", "sloc.windows.RecordedDraws"),
        *("sloc.windows.RuleFiring", "sloc.windows.RuleRates", "sloc.windows.TraceTable"),
        *("sloc.windows.printed.PrintedEdges", "sloc.lm.DecoderConfig"),
    ),
    ABSTRACT: (
        *("sloc.GaussianChannel", "sloc.LinearGaussianChannel", "sloc.MemorylessChannel", "sloc.ObservationProcess"),
        *(
            "sloc.Population",
            "sloc.RevealingChannel",
            "sloc.contracts.Contract",
            "sloc.divergence.Integrand",
            "sloc.divergence.Statistic",
        ),
        *("sloc.engine.Progress", "sloc.lm.Backend", "sloc.lm.Task", "sloc.processes.Clock"),
    ),
    ERROR: (
        *("sloc.ContractError", "sloc.InvalidInput", "sloc.bayes.ChainsDisagree", "sloc.bayes.LabelSwitching"),
        *("sloc.divergence.BridgeViolation", "sloc.engine.CheckpointError", "sloc.engine.CheckpointWarning"),
        *("sloc.engine.NotANumber", "sloc.engine.OutOfMemory", "sloc.engine.Replayed", "sloc.testing.ConformanceError"),
    ),
    VALUE: (
        *("sloc.lm.NOT_FOUND", "sloc.results.Certified", "sloc.results.Interval"),
        *("sloc.results.STATUSES", "sloc.results.Status"),
    ),
    NOTHING: (
        *("sloc.Information", "sloc.contracts.namespace", "sloc.engine.is_leader", "sloc.lm.ChoiceTask"),
        *("sloc.processes.BinarySymmetric", "sloc.processes.FlowMatching", "sloc.processes.IsotropicGaussian"),
        *("sloc.processes.Masking", "sloc.processes.OrnsteinUhlenbeck", "sloc.processes.Poisson"),
        "sloc.processes.VarianceExploding",
    ),
    INSIDE: (
        *("sloc.nn.classification_loss", "sloc.nn.denoising_loss", "sloc.nn.masked_loss"),
        "sloc.samplers.mixture_score",
    ),
    LAUNCH: ("sloc.engine.start_processes",),
    "needs PyTorch, which no test has; its paths are those of load_model": ("sloc.lm.TransformersBackend",),
}
