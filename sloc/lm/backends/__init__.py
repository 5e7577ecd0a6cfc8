"""Where texts come from: sloc's own engine, transformers, or an OpenAI-compatible server."""

from sloc.lm.backends.contract import Backend, Continuation, Failure, Generation, Request, Rule
from sloc.lm.backends.engine import EngineBackend
from sloc.lm.backends.http import Transport
from sloc.lm.backends.opening import open_backend
from sloc.lm.backends.server import ServerBackend
from sloc.lm.backends.torch_models import TransformersBackend

__all__ = [
    "Backend",
    "Continuation",
    "EngineBackend",
    "Failure",
    "Generation",
    "Request",
    "Rule",
    "ServerBackend",
    "TransformersBackend",
    "Transport",
    "open_backend",
]
