"""What a window run is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from sloc.contracts import ObservationProcess, Population, component_names, require
from sloc.contracts.arguments import checked_level, checked_seed, checked_whole, is_one_of
from sloc.divergence.checks import checked_count, checked_epsilon
from sloc.engine.plan import device_mesh
from sloc.processes import FlowMatching, Masking, OrnsteinUhlenbeck, VarianceExploding

PROCESSES: dict[str, type[ObservationProcess]] = {
    "ou": OrnsteinUhlenbeck,
    "ve": VarianceExploding,
    "flow": FlowMatching,
    "masking": Masking,
}
"""The processes of the command line, in the order that numbers their keys."""


@dataclass(frozen=True)
class Settings:
    """What a window run is asked for.

    Attributes:
        epsilon: threshold of Li, Karan & Chen 2025, Def. 4.
        n: trajectories of each pass, rounded up to whole blocks.
        times: how many noise levels.
        seed: seed of the key.
        classes: names of the classes reported; empty for all.
        delta: error level of the two intervals of each window jointly; half of it is each curve's band's.
        devices: how many local devices, or a kind of device; None for all.

    """

    epsilon: float = 0.1
    n: int = 65_536
    times: int = 64
    seed: int = 0
    classes: tuple[str, ...] = ()
    delta: float = 0.05
    devices: int | str | None = None

    def validate(self, population: Population) -> None:
        """Refuse settings that cannot be run, before anything is traced.

        Raises:
            InvalidInput: the first that is wrong.

        """
        checked_epsilon(self.epsilon, "epsilon")
        checked_level(self.delta, "delta")
        checked_count(self.n, "n")
        checked_whole(self.times, "times", 8, 4096, what="noise levels")
        checked_seed(self.seed)
        device_mesh(self.devices)
        names = component_names(population)
        for name in self.classes:
            require(is_one_of(name, names), "classes", name, f"one of {', '.join(names[:40])}")
        require(len(set(self.classes)) == len(self.classes), "classes", self.classes, "each class once")

    def chosen(self, population: Population) -> tuple[str, ...]:
        """Return the classes reported."""
        return self.classes or component_names(population)
