"""Run by ``make wheel`` in an environment that holds the wheel alone: is what a user installs whole?

A script, not a test: the tests import from the checkout.  It needs neither pytest nor an extra.
"""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jax

import sloc

EXTRAS = {"matplotlib", "networkx", "sklearn", "pyarrow", "numpyro", "optax", "arviz", "flax", "safetensors"}
EXTRAS |= {"blackjax", "tokenizers", "orbax"}
"""What an optional module may say it lacks."""


def check_place() -> None:
    """The package comes from the environment, is typed, and is all that the wheel installs."""
    package = Path(sloc.__file__).parent
    assert package.is_relative_to(sys.prefix), package
    assert (package / "py.typed").is_file()
    files = metadata.files("sloc") or []
    tops = {file.parts[0] for file in files if ".." not in file.parts}
    assert tops == {"sloc", f"sloc-{sloc.__version__}.dist-info"}, tops
    assert metadata.version("sloc") == sloc.__version__
    assert any(file.name == "LICENSE" for file in files)


def check_modules() -> int:
    """Every module can be imported, or lacks a library of an extra and nothing else; returns how many can."""
    whole, lacking = 0, set()
    for found in pkgutil.walk_packages(sloc.__path__, "sloc.", onerror=lambda name: None):
        try:
            importlib.import_module(found.name)
            whole += 1
        except ModuleNotFoundError as error:
            library = (error.name or "").split(".")[0]
            if library not in EXTRAS:
                raise
            lacking.add(library)
    print(f"{whole} modules import; others wait for {', '.join(sorted(lacking)) or 'nothing'}")
    return whole


def check_answer() -> None:
    """A closed form comes out as in the README."""
    mixture = sloc.populations.GaussianMixture([0.5, 0.5], [[4.0, 0.0], [-4.0, 0.0]], names=("cat", "dog"))
    process = sloc.processes.OrnsteinUhlenbeck()
    window = sloc.critical_window(jax.random.key(0), process, mixture, "cat", ["cat", "dog"], epsilon=0.1)
    assert abs(window.t_after - 0.4401) < 1e-4, window
    assert abs(window.t_before - 2.7593) < 1e-4, window


def check_command() -> None:
    """The command is there, and refuses in one line."""
    command = Path(sys.executable).with_name("sloc")
    done = subprocess.run([command, "window", "nowhere.csv"], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done
    assert done.stderr.startswith("sloc: SOURCE = nowhere.csv"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


if __name__ == "__main__":
    check_place()
    assert check_modules() > 100
    check_answer()
    check_command()
    print(f"sloc {sloc.__version__} from {Path(sloc.__file__).parent}: whole")
