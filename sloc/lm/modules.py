"""A decoder as a Flax NNX module: the same weights as parameters, the same forward pass (needs the extra ``nn``)."""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx

from sloc.lm.config import DecoderConfig
from sloc.lm.forward import hidden_states
from sloc.lm.layers import head_matrix, matmul

Array = jax.Array


class DecoderModule(nnx.Module):
    """A decoder whose weights are ``nnx.Param``, for ``nnx.grad``, optimisers, filters and :func:`sloc.nn.fit`.

    Made by :meth:`sloc.lm.LanguageModel.to_nnx`.  Paths of parameters are those of the tree of weights, such as
    ``("params", "layers", 0, "q", "w")``.
    """

    def __init__(self, config: DecoderConfig, weights: Any) -> None:
        self.config: DecoderConfig = config
        self.params: Any = _wrapped(weights)

    def weights(self) -> Any:
        """Return the parameters as the tree of arrays that a :class:`sloc.lm.LanguageModel` holds."""
        return _bare(self.params)

    def __call__(self, tokens: Array, mask: Array | None = None) -> Array:
        """Return the logits of the next token at every place, ``[B, T, V]`` in float32.

        Args:
            tokens: ``[B, T]``.
            mask: ``[B, T]``, False at padding, on either side; all True where None.

        """
        weights = self.weights()
        features, _ = hidden_states(self.config, weights, tokens, mask)
        return matmul("bte,ve->btv", features, head_matrix(weights), wide=True)


def _wrapped(tree: Any) -> Any:
    if isinstance(tree, dict):
        return nnx.Dict({name: _wrapped(part) for name, part in tree.items()})
    if isinstance(tree, list):
        return nnx.List([_wrapped(part) for part in tree])
    return nnx.Param(tree)


def _bare(tree: Any) -> Any:
    if isinstance(tree, nnx.Variable):
        return tree[...]
    if isinstance(tree, nnx.List):
        return [_bare(part) for part in tree]
    return {name: _bare(part) for name, part in tree.items()}
