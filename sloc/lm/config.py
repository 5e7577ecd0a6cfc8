"""What a decoder is made of: one set of switches for every supported family."""

from __future__ import annotations

from dataclasses import dataclass

from sloc.contracts import require
from sloc.contracts.arguments import as_whole, checked_choice, is_one_of


@dataclass(frozen=True)
class Rotary:
    """Rotary position embedding.

    Angles are ``position * frequency``; cosines and sines are multiplied by ``scale``.  Source: Su et al. 2021.

    Attributes:
        frequencies: one for each pair of rotated features.
        scale: of cosines and sines (1 unless a long-context scheme asks for more).
        long_frequencies: those to use where the context is longer than ``switch`` (Phi-3), or empty.
        switch: the context length in tokens past which ``long_frequencies`` hold; 0 for never.

    """

    frequencies: tuple[float, ...]
    scale: float = 1.0
    long_frequencies: tuple[float, ...] = ()
    switch: int = 0


@dataclass(frozen=True)
class DecoderConfig:
    """A transformer over tokens, causal or bidirectional; hashable, a static argument of compiled functions.

    Attributes:
        family: ``"llama"``, ``"mistral"``, ``"qwen2"``, ``"qwen3"``, ``"phi3"``, ``"gpt2"`` or ``"llada"``.
        vocabulary: how many tokens there are.
        width: features of a token between the layers.
        layers: how many.
        heads: of the attention's queries.
        kv_heads: of its keys and values; divides ``heads``.
        head_dim: features of a head.
        hidden: features inside the feed-forward part.
        max_positions: longest context, in tokens.
        rotary: how positions enter; None where they are learned vectors added to the embedding (GPT-2).
        norm: ``"rms"`` or ``"layer"``.
        norm_epsilon: added to the mean square or variance.
        activation: ``"silu"``, ``"gelu"`` or ``"gelu_tanh"``.
        gated: whether the activation multiplies a second branch.
        qk_norm: whether queries and keys of each head are normalised (Qwen3).
        windows: for each layer, how many positions back it sees (itself included), or 0 for all.
        causal: False for masked models, which see both ways.
        tied: whether the last layer is the embedding.
        mask_token: of masked models, else None.

    """

    family: str
    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    max_positions: int
    rotary: Rotary | None
    norm: str = "rms"
    norm_epsilon: float = 1e-5
    activation: str = "silu"
    gated: bool = True
    qk_norm: bool = False
    windows: tuple[int, ...] = ()
    causal: bool = True
    tied: bool = False
    mask_token: int | None = None

    @property
    def groups(self) -> int:
        """How many query heads share a key."""
        return self.heads // self.kv_heads

    def window(self, layer: int) -> int:
        """Return how many positions back a layer sees, 0 for all."""
        return self.windows[layer] if self.windows else 0

    def long(self, context: int) -> bool:
        """Whether a context of this many tokens takes the long rotary frequencies."""
        return self.rotary is not None and bool(self.rotary.switch) and context > self.rotary.switch

    def validate(self) -> None:
        """Refuse sizes that do not fit together.

        Raises:
            InvalidInput: names the size.

        """
        for name in ("vocabulary", "width", "layers", "heads", "kv_heads", "head_dim", "hidden", "max_positions"):
            require(as_whole(getattr(self, name)) > 0, name, getattr(self, name), "a positive number")
        mask = self.mask_token
        require(mask is None or as_whole(mask) >= 0, "mask_token", mask, "the id of a token, or None")
        require(self.heads % self.kv_heads == 0, "kv_heads", self.kv_heads, f"a divisor of heads = {self.heads}")
        require(is_one_of(self.norm, ("rms", "layer")), "norm", self.norm, "'rms' or 'layer'")
        known = ("silu", "gelu", "gelu_tanh")
        checked_choice(self.activation, "activation", known)
        fits = not self.windows or len(self.windows) == self.layers
        require(fits, "windows", self.windows, f"one for each of {self.layers} layers, or none")
        if self.rotary is not None:
            n = len(self.rotary.frequencies)
            require(0 < 2 * n <= self.head_dim, "rotary.frequencies", n, f"at most head_dim / 2 = {self.head_dim // 2}")
