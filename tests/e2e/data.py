"""Datasets for the end-to-end tests: the same values in every storage HDF5 offers, and inputs made to be difficult.

Everything is drawn from fixed seeds. Functions that return arrays return float32 unless they say otherwise.
"""
import os

import h5py
import numpy as np


def bfloat16_values(x):
    """The nearest values that bfloat16 can hold (truncated: which one does not matter to a test)."""
    return (np.ascontiguousarray(x, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def bfloat16_type():
    """HDF5 has no predefined bfloat16: a float type with sign 15, exponent 7..14 and mantissa 0..6."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_precision(16)
    kind.set_size(2)
    kind.set_ebias(127)
    return kind


def write(path, x, dataset="train", weights=None, dtype=None, **storage):
    """x (in `dtype`, "bfloat16" allowed) as a dataset of a new file, with /weights in the same file if given."""
    with h5py.File(path, "w") as file:
        if dtype == "bfloat16":
            space = h5py.h5s.create_simple(x.shape)
            made = h5py.h5d.create(file.id, dataset.encode(), bfloat16_type(), space)
            made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(x, np.float32), h5py.h5t.NATIVE_FLOAT)
        else:
            file.create_dataset(dataset, data=np.asarray(x, dtype or x.dtype), **storage)
        if weights is not None:
            file["weights"] = np.asarray(weights, np.float32)
    return path


def load(path, rows=None):
    """The first rows of /train (all of them), in float32."""
    with h5py.File(path, "r") as file:
        return file["train"][:rows].astype(np.float32)


def centroids(path, c):
    """A model made by hand: only /centroids."""
    with h5py.File(path, "w") as file:
        file["centroids"] = np.asarray(c, np.float32)
    return path


def copies(directory, x, weights=None):
    """The same rows stored in many ways: {name: list of --input values}. x holds small integers, exact in float16."""
    def name(text):
        return os.path.join(directory, text)

    integer = x.astype(np.uint8)
    assert np.array_equal(integer, x)
    kept = {
        "uint8": [write(name("u8.h5"), integer, weights=weights)],
        "float32": [write(name("f32.h5"), x, weights=weights, dtype="<f4")],
        "float16": [write(name("f16.h5"), x, weights=weights, dtype="<f2")],
        "float64": [write(name("f64.h5"), x, weights=weights, dtype="<f8")],
        "big-endian float32": [write(name("f32-big.h5"), x, weights=weights, dtype=">f4")],
        "big-endian float16": [write(name("f16-big.h5"), x, weights=weights, dtype=">f2")],
        "big-endian float64": [write(name("f64-big.h5"), x, weights=weights, dtype=">f8")],
        "chunked": [write(name("chunked.h5"), integer, weights=weights, chunks=(777, x.shape[1] // 2 + 1))],
        "deflate": [write(name("deflate.h5"), integer, weights=weights, chunks=(1000, x.shape[1]),
                          compression="gzip", shuffle=True)],
        "deflate float32": [write(name("deflate-f32.h5"), x, weights=weights, dtype="<f4", chunks=(501, 31),
                                  compression="gzip")],
    }
    if x.max() <= 127:
        kept["int8"] = [write(name("i8.h5"), x, weights=weights, dtype=np.int8)]
    # Seven files of unequal length, one of them a single row.
    cuts = [0, 1, x.shape[0] // 9, x.shape[0] // 4, x.shape[0] // 4 + 3, x.shape[0] // 2, x.shape[0] - 5, x.shape[0]]
    parts = []
    for p in range(7):
        rows = slice(cuts[p], cuts[p + 1])
        piece = None if weights is None else weights[rows]
        parts.append(write(name(f"part-{p}.h5"), integer[rows], weights=piece))
    kept["seven files, glob"] = [name("part-*.h5")]
    kept["seven files, listed"] = parts
    layout = h5py.VirtualLayout(shape=x.shape, dtype=np.uint8)
    for p in range(7):
        layout[cuts[p]:cuts[p + 1]] = h5py.VirtualSource(parts[p], "train", shape=(cuts[p + 1] - cuts[p], x.shape[1]))
    with h5py.File(name("virtual.h5"), "w") as file:
        file.create_virtual_dataset("train", layout)
        if weights is not None:
            file["weights"] = np.asarray(weights, np.float32)
    kept["virtual"] = [name("virtual.h5")]
    return kept


# ---- difficult rows --------------------------------------------------------------------------------------------------


def gaussian(n, d, seed, centres=0):
    """Standard normal rows, or a mixture of `centres` well-mixed components."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, d))
    if centres:
        x += draw.standard_normal((centres, d))[draw.integers(centres, size=n)]
    return x.astype(np.float32)


def lattice(n, d, side, seed):
    """Points of an integer lattice with `side` values per axis: full of exact ties and duplicates."""
    return np.random.default_rng(seed).integers(side, size=(n, d)).astype(np.float32)


def duplicated(n, d, distinct, seed):
    """n rows, only `distinct` different ones."""
    draw = np.random.default_rng(seed)
    return draw.standard_normal((distinct, d)).astype(np.float32)[draw.integers(distinct, size=n)]


def mixed_magnitudes(n, d, seed):
    """Columns between 1e-30 and 1e30."""
    scale = 10.0 ** np.linspace(-30, 30, d)
    return (np.random.default_rng(seed).standard_normal((n, d)) * scale).astype(np.float32)


def outlier(n, d, seed, value=1e12):
    """Gaussian rows and a single one far away."""
    x = gaussian(n, d, seed)
    x[n // 3] = value
    return x


def subnormal(n, d, seed):
    """Multiples of the smallest float32."""
    bits = np.random.default_rng(seed).integers(1 << 20, size=(n, d)).astype(np.uint32)
    return bits.view(np.float32)


def near_largest(n, d, seed):
    """Up to the largest finite float32, both signs."""
    x = np.random.default_rng(seed).uniform(-1, 1, (n, d)) * np.finfo(np.float32).max
    x = x.astype(np.float32)
    x[0, 0], x[1, 0] = np.finfo(np.float32).max, -np.finfo(np.float32).max
    return x


def midpoints(n, d, seed):
    """Rows halfway between two of the first centroids, one unit in the last place to either side or exactly between.

    Returns rows and centroids."""
    draw = np.random.default_rng(seed)
    c = draw.integers(-64, 64, size=(16, d)).astype(np.float32)
    pairs = draw.integers(16, size=(n, 2))
    x = (c[pairs[:, 0]] + c[pairs[:, 1]]) / 2
    column = draw.integers(d, size=n)
    towards = np.float32([-np.inf, 0, np.inf])[draw.integers(3, size=n)]
    rows = np.arange(n)
    nudged = np.nextafter(x[rows, column], towards)
    x[rows, column] = np.where(towards == 0, x[rows, column], nudged)
    return x.astype(np.float32), c
