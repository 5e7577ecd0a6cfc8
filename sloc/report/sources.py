"""Where the data of a window run come from: the bundled digits, a mixture of Gaussians, or a file."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sloc.contracts import InvalidInput, Population, require, shown
from sloc.contracts.arguments import HELD, as_whole, checked_file, checked_kind, checked_path, is_held
from sloc.contracts.extras import need
from sloc.populations import Empirical, GaussianMixture
from sloc.populations.rounding import check_rounding
from sloc.windows.csv_header import name_twice

FILE_HELP = """\
npz: --x names the array of samples [N, ...] (default: x), --labels the array of N labels (default: y).

csv (also .csv.gz), parquet: one row per sample. --labels names the column of labels (default: y). --x names the
columns of numbers: a comma-separated list, where a name that ends in * stands for all columns that begin so
(--x 'pixel*'); by default all other columns that hold numbers. No two columns have one name.

Labels are text or whole numbers; in csv only an empty field is no label (NA is one). Every value must be finite."""
"""Column rules, for ``--help``."""


_MARK = "="


@dataclass(frozen=True)
class Source:
    """A population and how to speak of it.

    Attributes:
        population: what is noised.
        title: what it is, in a few words.
        noun: what a sub-population is called in sentences.
        part: what a coordinate is called.
        image: height and width of a sample, or None where samples are no images.
        file: the data file, or None.
        sha256: digest of the data file, or None.

    """

    population: Population
    title: str
    noun: str = "class"
    part: str = "coordinate"
    image: tuple[int, int] | None = None
    file: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be spoken of or drawn.

        Raises:
            InvalidInput: names the entry.

        """
        checked_kind(self.population, "population", Population, "a population")
        for name in ("title", "noun", "part"):
            checked_kind(getattr(self, name), name, str, "a text")
        for name in ("file", "sha256"):
            checked_kind(getattr(self, name), name, str, "a text, or None", optional=True)
        if self.image is not None:
            pair = isinstance(self.image, (tuple, list)) and len(self.image) == 2
            pair = pair and all(as_whole(n) >= 1 for n in self.image)
            require(pair, "image", self.image, "height and width, two whole numbers, or None")


def plural(noun: str) -> str:
    """Return several of what a noun names: ``classes``, ``digits``."""
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's handwritten digits, scaled from 0 .. 16 to [-1, 1] (no download).

    Returns:
        ``(x, labels)``: float32 ``[N, 8, 8]`` and int32 ``[N]``.

    Raises:
        InvalidInput: scikit-learn is not installed.

    """
    bunch = need("viz", "sklearn.datasets", "the bundled digits").load_digits()
    x = (np.asarray(bunch.data, np.float64) / 8 - 1).astype(np.float32).reshape(-1, 8, 8)
    return x, np.asarray(bunch.target, np.int32)


def load_digits_source() -> Source:
    """Return scikit-learn's 1,797 handwritten digits, 8 x 8, scaled from 0 .. 16 to [-1, 1] (no download).

    Raises:
        InvalidInput: scikit-learn is not installed.

    """
    x, labels = digits()
    population = Empirical(x.reshape(len(x), -1), labels)
    return Source(population, f"{len(x):,} handwritten digits, 8 × 8 pixels", "digit", "pixel", (8, 8))


def parse_matrix(text: str, argument: str) -> np.ndarray:
    """Read ``"1,2;3,4"`` as ``[[1, 2], [3, 4]]`` (rows by semicolon, numbers by comma).

    Raises:
        InvalidInput: not numbers, or rows of different lengths.

    """
    try:
        rows = [[float(v) for v in row.split(",")] for row in text.strip().strip(";").split(";")]
    except ValueError as error:
        raise InvalidInput(f'{argument} = {shown(text)}: expected numbers such as "4,0;-4,0"') from error
    require(len({len(row) for row in rows}) == 1, argument, text, "rows of one length")
    return np.asarray(rows, np.float64)


def load_gaussians_source(means: str | None, weights: str | None, covariances: str | None) -> Source:
    """Return a mixture of Gaussians from the text of the options.

    Args:
        means: ``"4,0;-4,0"``: one row per Gaussian.
        weights: ``"0.5,0.5"``; None for equal weights.
        covariances: a variance ``"1"``, one per coordinate ``"1,2"``, a shared matrix ``"1,0;0,2"``, or one matrix
            per Gaussian, separated by ``|``; None for 1.

    Raises:
        InvalidInput: text that is not numbers; what :class:`sloc.populations.GaussianMixture` refuses.

    """
    for name, text in (("means", means), ("weights", weights), ("covariances", covariances)):
        good = text is None or (isinstance(text, str) and bool(text.strip()))
        require(good, name, text, "a text of numbers, or None")
    require(means is not None, "means", None, 'a row of numbers for each Gaussian, such as "4,0;-4,0"')
    assert means is not None
    mu = parse_matrix(means, "means")
    require(bool(np.isfinite(mu).all()), "means", means, "finite numbers")
    require(len(mu) >= 2, "means", means, "at least two Gaussians, separated by a semicolon")
    w = np.full(len(mu), 1 / len(mu)) if weights is None else parse_matrix(weights, "weights").ravel()
    matrices = [parse_matrix(part, "covariances") for part in (covariances or "1").split("|")]
    if weights is not None:
        _check_weights(w, weights, len(mu))
    _check_covariances(matrices, str(covariances or "1"), *mu.shape)
    cov = np.stack(matrices) if len(matrices) > 1 else matrices[0]
    if len(matrices) == 1 and cov.shape[0] == 1 and mu.shape[1] >= 1:
        cov = cov[0, 0] if cov.shape[1] == 1 else cov[0]
    arrays: dict[str, Any] = {"weights": w, "means": mu, "covariances": cov}
    population = GaussianMixture(**arrays)
    population.validate()
    return Source(
        population, f"{len(mu)} Gaussians in {mu.shape[1]} dimension{'s' if mu.shape[1] > 1 else ''}", "component"
    )


def _check_weights(w: np.ndarray, text: str, count: int) -> None:
    """Say in the words of the options what :class:`sloc.populations.GaussianMixture` would refuse."""
    require(w.size == count, "weights", text, f"{count} numbers, one for each of the means")
    require(bool(np.isfinite(w).all() and (w > 0).all()), "weights", text, "positive numbers")
    require(bool(abs(w.sum() - 1) < 1e-5), "weights", text, f"numbers that sum to 1; these sum to {w.sum():.6g}")


def _check_covariances(matrices: list[np.ndarray], text: str, count: int, d: int) -> None:
    """Say in the words of the options what :class:`sloc.populations.GaussianMixture` would refuse."""
    option = "covariances"
    require(len({m.shape for m in matrices}) == 1, option, text, "matrices of one shape")
    shape, number = matrices[0].shape, len(matrices)
    fits = (number == 1 and shape in {(1, 1), (1, d), (d, d)}) or (number == count and shape == (d, d))
    per = f"one variance, {d} variances" if d > 1 else "one variance"
    require(fits, option, text, f"{per}, a matrix of {d} x {d}, or {count} of these matrices separated by |")
    require(all(np.isfinite(m).all() for m in matrices), option, text, "finite numbers")
    if shape[0] == 1:
        require(all((m > 0).all() for m in matrices), option, text, "positive variances")
        return
    for m in matrices:
        scale = 1e-7 * float(np.abs(m).max())
        require(bool(np.allclose(m, m.T, rtol=1e-5, atol=scale)), option, text, "symmetric matrices")
        smallest = float(np.linalg.eigvalsh(m).min())
        require(
            smallest > 0, option, text, f"positive definite matrices; the smallest eigenvalue here is {smallest:.3g}"
        )


def load_file_source(
    path: str | os.PathLike[str], x: str | None, labels: str | None, scale: str | None, image: str | None
) -> Source:
    """Read labelled data from an .npz, .csv or .parquet file (rules: ``FILE_HELP``).

    Args:
        path: the file.
        x: array or columns of the samples; None for the default.
        labels: array or column of the labels; None for ``y``.
        scale: see ``scaled``; None for ``standard``, or ``-1,1`` where ``image`` is given.
        image: ``"8x8"``: height and width of a sample, or None.

    Raises:
        InvalidInput: a file that cannot be read or is empty, a missing array or column, labels of the wrong length
            or of one class only, values that are not finite numbers, a shape that does not fit the samples.

    """
    try:
        file = Path(checked_path(path)).expanduser()
    except RuntimeError as error:  # nobody's home
        raise InvalidInput(f"path = {str(path)!r}: expected a data file that exists ({error})") from error
    checked_file(file, "path", "digits, gaussians, or a data file that exists")
    for name, text in (("x", x), ("labels", labels), ("scale", scale), ("image", image)):
        checked_kind(text, name, str, "a text, or None", optional=True)
        require(text is None or bool(text.strip()), name, text, "a text that is not empty, or no such option")
    kind = "csv" if file.name.endswith((".csv", ".csv.gz")) else file.suffix.lower().lstrip(".")
    require(
        kind in ("npz", "csv", "parquet"),
        "path",
        str(path),
        "a file ending in .npz, .csv, .csv.gz or .parquet",
    )
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"path = {str(path)!r}: expected a file that can be read ({error.strerror})") from error
    require(len(content) > 0, "path", str(path), "a file with data; this one is empty")
    read = _read_npz if kind == "npz" else _read_table
    data, classes = read(file, kind, x, labels or "y")
    _check_classes(classes, len(data), labels or "y")
    size = None if image is None else parse_image(image)
    if size is not None:
        count = int(np.prod(data.shape[1:]))
        require(size[0] * size[1] == count, "image", image, f"height x width with {count} pixels, as in the samples")
    population = Empirical(scaled(data, scale or ("-1,1" if size else "standard")), classes)
    counts = " × ".join(str(s) for s in data.shape[1:]) or "1"
    unit = "pixels" if size else "numbers"
    return Source(
        population,
        f"{file.name}: {len(data):,} samples of {counts} {unit}",
        "class",
        "pixel" if size else "coordinate",
        size,
        str(file.resolve()),
        hashlib.sha256(content).hexdigest(),
    )


def parse_image(text: str) -> tuple[int, int]:
    """Read ``"8x8"`` as ``(8, 8)``.

    Raises:
        InvalidInput: anything else.

    """
    checked_kind(text, "image", str, "height x width, such as 8x8")
    parts = text.lower().replace("×", "x").split("x")
    ok = len(parts) == 2 and all(p.strip().isdecimal() and int(p) > 0 for p in parts)
    require(ok, "image", text, "height x width, such as 8x8")
    return int(parts[0]), int(parts[1])


def scaled(data: np.ndarray, scale: str) -> np.ndarray:
    """Scale samples.

    Args:
        data: ``[N, ...]``.
        scale: ``standard`` takes each coordinate to mean 0 and standard deviation 1 (constant ones to 0), ``none``
            leaves the data, ``"a,b"`` takes the smallest value of all to ``a`` and the largest to ``b``.

    Returns:
        float32 of the same shape; unscaled whole numbers stay whole.

    Raises:
        InvalidInput: another word, or ``a >= b``.

    """
    if scale == "none":
        if data.dtype.kind in "iu":
            return data
        check_rounding(data, "x")
        with np.errstate(over="ignore"):  # refused where the population is made
            return data.astype(np.float32)
    values = data.astype(np.float64)
    with np.errstate(over="ignore"):
        sd = values.std(axis=0)
        within = bool(np.isfinite(sd).all() and np.isfinite(np.ptp(values)))
    if not within:
        words = "numbers whose squares are within float64"
        require(False, "x", f"{values.min():g} .. {values.max():g}", words)
    if scale == "standard":
        return ((values - values.mean(axis=0)) / np.where(sd > 0, sd, 1.0)).astype(np.float32)
    try:
        low, high = (float(v) for v in scale.split(","))
    except ValueError as error:
        raise InvalidInput(f"scale = {shown(scale)}: expected standard, none, or two numbers such as -1,1") from error
    require(low < high and math.isfinite(high - low), "scale", scale, "two numbers, the smaller first")
    span = float(np.ptp(values))
    unit = (values - values.min()) / (span if span > 0 else 1.0)
    return (low + (high - low) * unit).astype(np.float32)


def _read_npz(file: Path, kind: str, x: str | None, labels: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        # NumPy leaves a file open that turns out to be no archive.
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, KeyError, AttributeError) as error:
        raise InvalidInput(f"path = {str(file)!r}: expected a NumPy .npz file of plain arrays ({error})") from error
    except Exception as error:  # zipfile has errors of its own
        raise InvalidInput(f"path = {str(file)!r}: expected a NumPy .npz file ({error})") from error
    for option, name in (("x", x or "x"), ("labels", labels)):
        require(name in found, option, name, f"one of the arrays in the file: {', '.join(sorted(found)) or 'none'}")
    data, classes = found[x or "x"], found[labels]
    require(data.dtype.kind in "biuf", "x", x or "x", "an array of numbers; this one holds something else")
    require(data.ndim >= 1 and data.shape[0] >= 2, "x", x or "x", "at least two samples along the first axis")
    return _finite(data if data.ndim > 1 else data[:, None], x or "x"), classes


def _read_table(file: Path, kind: str, x: str | None, labels: str) -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd

    if kind == "parquet":
        need("data", "pyarrow", "reading parquet")
    try:
        # Behind a mark: pandas takes labels such as NA, None or nan for missing ones, after converters too.
        marked = {labels: lambda word: _MARK + word.strip()}
        if kind == "csv":
            twice = name_twice(file)
            require(twice is None, "path", str(file), f"columns of different names; {shown(twice)} is there twice")
            with warnings.catch_warnings():
                # Without a column for an index, rows that are longer than the header are cut, with a warning.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = pd.read_csv(file, converters=marked, index_col=False)
        else:
            frame = pd.read_parquet(file)
    except InvalidInput:
        raise
    except pd.errors.ParserWarning as error:
        words = "a csv table, whose rows are as long as its header; rows here are longer"
        raise InvalidInput(f"path = {str(file)!r}: expected {words}") from error
    except Exception as error:  # parsers raise types of their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(f"path = {str(file)!r}: expected a {kind} table ({reason})") from error
    frame.columns = [str(c) for c in frame.columns]
    require(len(frame) >= 2, "path", str(file), f"at least two rows; this table has {len(frame)}")
    require(labels in frame.columns, "labels", labels, f"one of the columns: {_some(frame.columns)}")
    others = [c for c in frame.columns if c != labels]
    if x is None:
        columns = [c for c in others if pd.api.types.is_numeric_dtype(frame[c])]
        for c in others:
            if c not in columns:
                _check_words(frame[c], c)
        require(bool(columns), "x", None, f"the names of columns; there are none of numbers beside {labels}")
    else:
        columns = _matching(others, x)
        for c in columns:
            require(bool(pd.api.types.is_numeric_dtype(frame[c])), "x", c, "a column of numbers")
    column = frame[labels].str.removeprefix(_MARK) if kind == "csv" else frame[labels]
    missing = int(np.count_nonzero(np.asarray(column.isna() | (column == ""))))
    require(missing == 0, "labels", labels, f"a label in every row; {missing} have none")
    classes = column.to_numpy()
    _check_held(classes, labels)  # here: an array of texts drops NUL characters at their ends
    if classes.dtype.kind not in "biuf":
        classes = _numbered(classes.astype(str)) if kind == "csv" else classes.astype(str)
    return _finite(frame[columns].to_numpy(np.float64), x or ",".join(columns)), classes


def _check_words(column: Any, name: str) -> None:
    """Refuse to leave out, as a column of words, one that holds numbers but for a few fields (``1,000``, ``12 cm``)."""
    import pandas as pd

    filled = column.dropna()
    try:
        read: Any = pd.to_numeric(filled, errors="coerce")
    except (TypeError, ValueError):  # lists and the like, in Parquet
        return
    wrong = filled[read.isna()]
    if 0 < len(wrong) < len(filled) / 2:
        row, value = wrong.index[0], shown(wrong.iloc[0])
        words = f"numbers in every row, as in most; row {row + 1} holds {value} (--x NAMES leaves the column out)"
        require(False, "x", name, words)


def _numbered(words: np.ndarray) -> np.ndarray:
    """Return labels as numbers if all are finite numbers, so that 10 follows 9 and 1.0 is 1; else as they are."""
    if any("_" in word for word in words):  # Python reads 1_0 as 10
        return words
    try:
        numbers = words.astype(np.int64)
    except (ValueError, OverflowError):
        try:
            numbers = words.astype(np.float64)
        except ValueError:
            return words
    return numbers if np.isfinite(numbers).all() else words


def _some(names: Iterable[Any], most: int = 20) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _matching(columns: list[str], x: str) -> list[str]:
    chosen: list[str] = []
    for name in (part.strip() for part in x.split(",")):
        star = name.endswith("*")
        found = [c for c in columns if c.startswith(name[:-1])] if star else [c for c in columns if c == name]
        require(bool(found), "x", name, f"one of the columns: {_some(columns)}")
        chosen += [c for c in found if c not in chosen]
    return chosen


def _finite(data: np.ndarray, x: str) -> np.ndarray:
    bad = int(data.size - np.count_nonzero(np.isfinite(data)))
    require(bad == 0, "x", x, f"finite numbers only; {bad} values are NaN or infinite")
    return data


def _check_held(classes: np.ndarray, labels: str) -> None:
    """Refuse names of classes that stop the writing of results, when all is computed."""
    words = dict.fromkeys(w for w in classes.ravel().tolist() if isinstance(w, str))
    wrong = next((w for w in words if not is_held(w)), None)
    require(wrong is None, "labels", labels, f"for each label {HELD}; this is one of them: {shown(wrong)}")


def _check_classes(classes: np.ndarray, n: int, labels: str) -> None:
    """Say in the words of the options what :class:`sloc.populations.Empirical` would refuse."""
    option = "labels"
    require(classes.ndim == 1, option, labels, f"one label per sample; this array has {classes.ndim} axes")
    require(classes.size == n, option, labels, f"one label per sample; there are {classes.size} labels, {n} samples")
    if classes.dtype.kind == "f":
        bad = int(np.count_nonzero(~np.isfinite(classes)))
        require(bad == 0, option, labels, f"a label for every sample; {bad} are NaN or infinite")
        broken = classes[classes != np.floor(classes)][:1]  # a column of measurements, named by mistake
        require(broken.size == 0, option, labels, f"labels that are text or whole numbers, not {broken.tolist()[:1]}")
    require(classes.dtype.kind in "biufUS", option, labels, "labels that are text or whole numbers")
    unique = np.unique(classes)
    _check_held(unique, labels)
    require(unique.size >= 2, option, labels, f"at least two classes; all labels are {unique[0]}")
