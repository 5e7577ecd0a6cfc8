"""Examples at the end of ``sloc VERB --help``: what people type, each a line that the command reads as it stands."""

from __future__ import annotations

_LINES = {
    "": (
        "sloc window digits --out demo",
        'sloc window gaussians --means "4,0;-4,0"',
        "sloc traces answers.csv --out my-traces",
        "sloc lm demo grammar",
        "sloc window --help",
    ),
    "window": (
        "sloc window digits --out demo",
        "sloc window data.npz --x x --labels y --image 28x28 --process ou,masking --out my-run",
        "sloc window table.csv --labels species --epsilon 0.05 --n 1e6 --out my-run --resume",
        'sloc window gaussians --means "4,0;-4,0" --weights 0.5,0.5',
        "sloc window --from my-run --out once-more",
    ),
    "tree": (
        "sloc tree digits --out my-tree",
        "sloc tree digits --process masking --epsilon 0.2",
        "sloc tree table.csv --labels species --epsilon 0.05 --n 1e6 --out my-tree --resume",
        'sloc tree gaussians --means "9,1;9,-1;-9,1.5;-9,-1.5" --out my-tree',
        "sloc tree --from my-tree --out once-more",
    ),
    "traces": (
        "sloc traces answers.csv --out my-traces",
        "sloc traces answers.csv --rise 0.5 --max-drop 0.3 --across holm",
        "sloc traces release/ --rise 0.3 --alpha 0.1 --gap 4 --level 0.9 --out my-traces",
        "sloc traces --from my-traces --out once-more",
    ),
    "train": (
        "sloc train digits --out my-model",
        "sloc train digits --model dit --steps 20000 --seed 1 --out my-model --resume",
        "sloc train --from my-model --out once-more",
    ),
    "uturn": (
        "sloc uturn my-model/weights.safetensors --out my-uturn",
        "sloc uturn my-model/weights.safetensors --start 8 --times 20 --n 1e4 --out my-uturn --resume",
        "sloc uturn --from my-uturn --out once-more",
    ),
    "lm windows": (
        "sloc lm windows --model ./Llama-3.1-8B-Instruct --data questions.jsonl --task math --out math",
        "sloc lm windows --model http://127.0.0.1:8000/v1 --data mmlu.jsonl --benchmark mmlu --resamples 100 --out m",
        'sloc lm windows --model ./stories260k --data stories.jsonl --task "regex:(cat|dog)" --cuts token --out st',
        "sloc lm windows --from math --out once-more",
    ),
    "lm demo": (
        "sloc lm demo grammar",
        "sloc lm demo addition --out addition",
        "sloc lm demo stories --model ./stories260k --texts 8 --out stories",
        "sloc lm demo --from addition --out once-more",
    ),
    "lm": ("sloc lm demo grammar", "sloc lm windows --help"),
    "replay": ("sloc replay my-run",),
    "bench": (
        "sloc bench --smoke",
        "sloc bench windows --only gaussians,scaling --out results",
        "sloc bench windows --against benchmarks/results",
        "sloc bench --explain",
    ),
    "info": ("sloc info", "sloc info --json"),
}


def examples(verb: str) -> str:
    """Return the examples of a command as an epilog: paragraphs, since these are what the help keeps apart."""
    return "\n\n".join(("Examples:", *_LINES[verb]))
