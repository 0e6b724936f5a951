"""Rows of Parquet, safetensors, Zarr, .npz and .npy files as HDF5 files that lloyd reads, a few megabytes at a time.

A source is one file as a sequence of blocks of rows, with the ids beside them. `convert` writes several, one after the other, into
one dataset /train, or into shards with the same number of rows.
"""
from __future__ import annotations

import contextlib
import json
import os
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np

from ._library import LloydValueError
from ._rows import TYPES

BLOCK_BYTES = 32 << 20

# A block of rows [n, d] and, if asked for, of their ids [n].
Block = tuple[np.ndarray, Optional[np.ndarray]]


@dataclass
class Source:
    """A file to convert. `blocks` is called once, when its turn comes."""

    path: str
    rows: int
    dim: int
    type: str  # of TYPES, or another number's name
    blocks: Callable[[], Iterator[Block]]


def _fail(path: str, what: str) -> LloydValueError:
    return LloydValueError(f"{path}: {what}")


def _import(module: str, path: str) -> Any:
    """A library that is needed for this file only."""
    try:
        return __import__(module, fromlist=["_"])
    except ImportError:
        raise _fail(path, f"to read it, install {module.split('.')[0]}") from None


def _block_rows(dim: int, itemsize: int) -> int:
    return max(1, BLOCK_BYTES // max(1, dim * itemsize))


def _named(path: str, names: list[str], wanted: Optional[str], what: str) -> str:
    """The wanted name, or the only one there is."""
    if wanted is not None:
        if wanted in names:
            return wanted
        raise _fail(path, f"it has no {what} {wanted!r}, but {', '.join(map(repr, names)) or 'none'}")
    if len(names) == 1:
        return names[0]
    raise _fail(path, f"it has {len(names)} {what}s ({', '.join(map(repr, names[:8]))}); name one with --column")


def _sliced(path: str, rows: Any, ids: Any, kind: str) -> Source:
    """Of arrays that can be sliced: memory maps and arrays of Zarr."""
    if rows.ndim != 2:
        raise _fail(path, f"its array has {rows.ndim} dimension{'' if rows.ndim == 1 else 's'}; rows have 2")
    count, dim = rows.shape
    if ids is not None and ids.shape != (count,):
        raise _fail(path, f"there are {count} rows, but the ids have the shape {tuple(ids.shape)}")

    def blocks() -> Iterator[Block]:
        step = _block_rows(dim, rows.dtype.itemsize)
        for at in range(0, count, step):
            yield np.asarray(rows[at:at + step]), None if ids is None else np.asarray(ids[at:at + step])

    return Source(path, count, dim, kind, blocks)


# ---- Parquet ----------------------------------------------------------------------------------------------------------------


def _parquet(path: str, column: Optional[str], ids: Optional[str]) -> Source:
    parquet, arrow = _import("pyarrow.parquet", path), _import("pyarrow", path)
    file = parquet.ParquetFile(path)
    schema = file.schema_arrow
    is_list = {field.name for field in schema if arrow.types.is_list(field.type) or arrow.types.is_large_list(field.type)
               or arrow.types.is_fixed_size_list(field.type)}
    lists = [field.name for field in schema if field.name in is_list and arrow.types.is_primitive(field.type.value_type)]
    name = _named(path, lists, column, "column of lists of numbers")
    if ids is not None and ids not in schema.names:
        raise _fail(path, f"it has no column {ids!r} for the ids")
    kind = np.dtype(schema.field(name).type.value_type.to_pandas_dtype()).name
    if file.metadata.num_rows == 0:
        raise _fail(path, "it has no rows")
    dim = len(next(file.iter_batches(batch_size=1, columns=[name])).column(0)[0])

    def blocks() -> Iterator[Block]:
        first = 0
        names = [name] if ids is None else [name, ids]
        for batch in file.iter_batches(batch_size=_block_rows(dim, np.dtype(kind).itemsize), columns=names):
            lists = batch.column(batch.schema.get_field_index(name))
            lengths = lists.value_lengths() if hasattr(lists, "value_lengths") else arrow.compute.list_value_length(lists)
            wrong = np.flatnonzero(lengths.fill_null(-1).to_numpy(zero_copy_only=False) != dim)
            values = lists.flatten()
            if len(wrong) > 0 or values.null_count > 0:
                raise _fail(path, f"row {first + int(wrong[0])} of {name!r} is no list of {dim} numbers" if len(wrong) > 0
                            else f"{name!r} has a missing number in the {len(lists)} rows from row {first} on")
            taken = None if ids is None else batch.column(batch.schema.get_field_index(ids)).to_numpy(zero_copy_only=False)
            yield values.to_numpy(zero_copy_only=False).reshape(len(lists), dim), taken
            first += len(lists)

    return Source(path, file.metadata.num_rows, dim, kind, blocks)


# ---- safetensors ------------------------------------------------------------------------------------------------------------

SAFETENSORS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "U8": "uint8", "I8": "int8",
               "I64": "int64", "I32": "int32", "I16": "int16", "U64": "uint64", "U32": "uint32", "U16": "uint16"}


def _safetensors(path: str, column: Optional[str], ids: Optional[str]) -> Source:
    """A length, a header in JSON, and arrays in C order: read in place, without the library."""
    with open(path, "rb") as file:
        start = file.read(8)
        size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= size <= 100 << 20:
            raise _fail(path, "it is no safetensors file")
        try:
            header = json.loads(file.read(size))
        except ValueError:
            raise _fail(path, "it is no safetensors file") from None

    def tensor(name: str) -> tuple[np.ndarray, str]:
        about = header[name]
        kind = SAFETENSORS.get(about["dtype"])
        if kind is None:
            raise _fail(path, f"{name!r} is of type {about['dtype']}, which lloyd does not read")
        stored = np.dtype("uint16" if kind == "bfloat16" else kind)
        return np.memmap(path, stored, "r", 8 + size + about["data_offsets"][0], tuple(about["shape"])), kind

    names = [name for name, about in header.items() if name != "__metadata__" and len(about["shape"]) == 2]
    rows, kind = tensor(_named(path, names, column, "two-dimensional tensor"))
    if ids is not None and ids not in header:
        raise _fail(path, f"it has no tensor {ids!r} for the ids")
    return _sliced(path, rows, None if ids is None else tensor(ids)[0], kind)


# ---- Zarr, .npy, .npz -------------------------------------------------------------------------------------------------------


def _zarr(path: str, column: Optional[str], ids: Optional[str]) -> Source:
    zarr = _import("zarr", path)
    root = zarr.open(path, mode="r")
    if hasattr(root, "shape"):
        if column is not None or ids is not None:
            raise _fail(path, "it is an array and no group, so there are no names in it")
        return _sliced(path, root, None, root.dtype.name)
    arrays = dict(root.arrays())
    name = _named(path, [key for key, array in arrays.items() if array.ndim == 2], column, "two-dimensional array")
    if ids is not None and ids not in arrays:
        raise _fail(path, f"it has no array {ids!r} for the ids")
    return _sliced(path, arrays[name], None if ids is None else arrays[ids], arrays[name].dtype.name)


def _npy(path: str, column: Optional[str], ids: Optional[str]) -> Source:
    if column is not None or ids is not None:
        raise _fail(path, "it is one array, so there are no names in it")
    rows = np.load(path, mmap_mode="r")
    return _sliced(path, rows, None, rows.dtype.name)


def _npz(path: str, column: Optional[str], ids: Optional[str]) -> Source:
    """Members of an archive, which is decompressed as it is read."""
    from numpy.lib import format as npy

    archive = zipfile.ZipFile(path)

    def header(name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
        with archive.open(name + ".npy") as file:
            return _read_header(file)

    def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
        return shape, fortran, dtype

    names = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
    name = _named(path, [key for key in names if len(header(key)[0]) == 2], column, "two-dimensional array")
    if ids is not None and ids not in names:
        raise _fail(path, f"it has no array {ids!r} for the ids")
    shape, fortran, dtype = header(name)
    if len(shape) != 2 or fortran or dtype.hasobject:
        raise _fail(path, f"{name!r} is no two-dimensional array of numbers in C order")
    count, dim = shape
    taken = None if ids is None else np.load(path)[ids]
    if taken is not None and taken.shape != (count,):
        raise _fail(path, f"there are {count} rows, but the ids have the shape {taken.shape}")

    def blocks() -> Iterator[Block]:
        step = _block_rows(dim, dtype.itemsize)
        with archive.open(name + ".npy") as file:
            _read_header(file)
            for at in range(0, count, step):
                rows = min(step, count - at)
                data = file.read(rows * dim * dtype.itemsize)
                if len(data) != rows * dim * dtype.itemsize:
                    raise _fail(path, f"{name!r} ends too early")
                yield np.frombuffer(data, dtype).reshape(rows, dim), None if taken is None else taken[at:at + rows]

    return Source(path, count, dim, dtype.name, blocks)


_READERS = {".parquet": _parquet, ".pq": _parquet, ".safetensors": _safetensors, ".zarr": _zarr, ".npz": _npz, ".npy": _npy}


def open_source(path: str, column: Optional[str] = None, ids: Optional[str] = None) -> Source:
    """The file as a source, by the end of its name."""
    end = os.path.splitext(path.rstrip("/"))[1].lower()
    if end not in _READERS:
        raise _fail(path, f"unknown kind of file; names end in {', '.join(_READERS)}")
    if not os.path.exists(path):
        raise _fail(path, "there is no such file")
    return _READERS[end](path, column, ids)


# ---- HDF5 -------------------------------------------------------------------------------------------------------------------


class _Shard:
    """An HDF5 file with /train and, if there are any, /ids; under another name until it is whole."""

    def __init__(self, path: str, rows: int, dim: int, kind: str, ids: Any) -> None:
        import h5py

        self.path, self.part = path, f"{path}.{os.getpid()}.part"
        self.file = h5py.File(self.part, "w")
        self.rows, self.at, self.kind = rows, 0, kind
        self.memory_type = None
        if kind == "bfloat16":  # HDF5 has no predefined one: sign 15, exponent 7 to 14, mantissa 0 to 6
            self.memory_type = h5py.h5t.IEEE_F32LE.copy()
            self.memory_type.set_fields(15, 7, 8, 0, 7)
            self.memory_type.set_precision(16)
            self.memory_type.set_size(2)
            self.memory_type.set_ebias(127)
            h5py.h5d.create(self.file.id, b"train", self.memory_type, h5py.h5s.create_simple((rows, dim)))
        else:
            self.file.create_dataset("train", (rows, dim), kind)
        if ids is not None:
            text = ids.dtype.kind not in "iu"
            self.file.create_dataset("ids", (rows,), h5py.string_dtype() if text else ids.dtype)

    def write(self, rows: np.ndarray, ids: Optional[np.ndarray]) -> None:
        import h5py

        count = len(rows)
        if self.memory_type is None:
            self.file["train"][self.at:self.at + count] = rows
        else:
            space = h5py.h5s.create_simple((self.rows, rows.shape[1]))
            space.select_hyperslab((self.at, 0), rows.shape)
            self.file["train"].id.write(h5py.h5s.create_simple(rows.shape), space, np.ascontiguousarray(rows), self.memory_type)
        if ids is not None:
            self.file["ids"][self.at:self.at + count] = ids if ids.dtype.kind in "iu" else [str(i) for i in ids]
        self.at += count

    def close(self) -> None:
        self.file.close()
        os.replace(self.part, self.path)

    def discard(self) -> None:
        with contextlib.suppress(Exception):
            self.file.close()
        with contextlib.suppress(OSError):
            os.unlink(self.part)


def _names(output: str, total: int, shard_rows: int) -> list[str]:
    """One name, or OUTPUT-00000.h5, OUTPUT-00001.h5, ..."""
    if not shard_rows:
        return [output]
    stem, end = os.path.splitext(output)
    return [f"{stem}-{number:05d}{end}" for number in range((total + shard_rows - 1) // shard_rows)]


def convert(inputs: list[str], output: str, *, column: Optional[str] = None, ids: Optional[str] = None, type: Optional[str] = None,
            shard_rows: int = 0, force: bool = False, progress: Optional[Callable[[int, int], None]] = None) -> list[str]:
    """Writes the rows of all inputs, in their order, as HDF5.

    Parameters
    ----------
    inputs : list of str
        Files whose names end in .parquet, .safetensors, .zarr, .npz or .npy; of the same number of columns.
    output : str
        The HDF5 file, with the dataset /train; with `shard_rows`, 'x.h5' stands for 'x-00000.h5', 'x-00001.h5', ...
    column : str, default=None
        The column of a Parquet file, or the array of another one; by default the only one that can be meant.
    ids : str, default=None
        The column or array with the id of each row, which becomes the dataset /ids: integers or text.
    type : {'float32', 'float16', 'uint8', 'int8', 'float64'}, default=None
        How elements are stored; by default as they are, and float32 for integers of more than 8 bits.
    shard_rows : int, default=0
        Rows of a shard; 0: one file.
    force : bool, default=False
        Replace files that exist.
    progress : callable, default=None
        Called with the rows that are written and all rows.

    Returns
    -------
    list of str
        The files.

    Raises
    ------
    ValueError
        An input is none of these, or the inputs do not fit together; or an output exists.
    OSError
        A file cannot be read or written.
    """
    sources = [open_source(path, column, ids) for path in inputs]
    if not sources:
        raise LloydValueError("there is nothing to convert; give at least one file")
    first, total = sources[0], sum(source.rows for source in sources)
    for source in sources:
        if (source.dim, source.type) != (first.dim, first.type):
            raise _fail(source.path, f"its rows are {source.dim} of {source.type}, but those of {first.path} {first.dim} of {first.type}")
    kind = type or (first.type if first.type in TYPES else "float32")
    if kind not in TYPES or (kind == "bfloat16") != (first.type == "bfloat16"):
        raise LloydValueError(f"rows of {first.type} cannot be stored as {kind}")
    if total == 0:
        raise _fail(first.path, "it has no rows")
    names = _names(output, total, shard_rows)
    there = [name for name in names if os.path.exists(name)]
    if there and not force:
        raise _fail(there[0], "it exists; remove it, choose another name, or use --force")
    _write(sources, names, total, shard_rows or total, kind, progress)
    return names


def _write(sources: list[Source], names: list[str], total: int, shard_rows: int, kind: str,
           progress: Optional[Callable[[int, int], None]]) -> None:
    shard: Optional[_Shard] = None
    number = done = 0
    try:
        for rows, ids in (block for source in sources for block in source.blocks()):
            if kind != "bfloat16":
                rows = rows.astype(kind, copy=False)
            at = 0
            while at < len(rows):
                if shard is None:
                    shard = _Shard(names[number], min(shard_rows, total - number * shard_rows), rows.shape[1], kind, ids)
                take = min(len(rows) - at, shard.rows - shard.at)
                shard.write(rows[at:at + take], None if ids is None else ids[at:at + take])
                at, done = at + take, done + take
                if shard.at == shard.rows:
                    shard.close()
                    shard, number = None, number + 1
            if progress:
                progress(done, total)
        if shard is not None:
            raise LloydValueError(f"the inputs have {done} rows, and not {total} as they say")
    except BaseException:
        if shard is not None:
            shard.discard()
        raise
