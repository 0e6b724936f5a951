"""Rows from other formats to HDF5, and labels from HDF5 to tables."""
from __future__ import annotations

import argparse
import csv
import os
import sys
from typing import Any, Optional

from ._library import LloydError, LloydValueError
from .convert import convert
from .model import read_ids


def _convert(options: argparse.Namespace) -> None:
    bar: Any = None
    if sys.stderr.isatty():
        try:
            from tqdm import tqdm

            bar = tqdm(unit="row", unit_scale=True)
        except ImportError:
            pass

    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    names = convert(options.inputs, options.output, column=options.column, ids=options.ids, type=options.type,
                    shard_rows=options.shard_rows, force=options.force, progress=show if bar is not None else None)
    if bar is not None:
        bar.close()
    more = f" to {names[-1]}" if len(names) > 1 else ""
    print(f"{names[0]}{more}: {len(names)} file{'s' if len(names) > 1 else ''}")


def _labels(options: argparse.Namespace) -> None:
    import h5py

    with h5py.File(options.model, "r") as file:
        if "labels" not in file:
            raise LloydValueError(f"{options.model} has no labels")
        columns = {"label": file["labels"][()], **({"distance": file["distances"][()]} if "distances" in file else {})}
        inputs = str(file.attrs.get("inputs", ""))
    columns = {"id": read_ids(os.path.abspath(options.model), inputs, len(columns["label"])), **columns}
    if options.output.endswith(".parquet"):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(columns), options.output)
    else:
        with open(options.output, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*(column.tolist() for column in columns.values())))
    print(f"{options.output}: {len(columns['id'])} rows")


def main(arguments: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lloyd", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("convert", help="rows of Parquet, safetensors, Zarr, .npz or .npy files as HDF5",
                              description="Writes the rows of all inputs, in their order, as HDF5 files that lloyd reads.")
    one.add_argument("inputs", nargs="+", metavar="FILE", help="names end in .parquet, .safetensors, .zarr, .npz or .npy")
    one.add_argument("-o", "--output", required=True, metavar="X.h5", help="the HDF5 file; its dataset /train is the rows")
    one.add_argument("--column", metavar="NAME", help="the column or array with the rows; default: the only one")
    one.add_argument("--ids", metavar="NAME", help="the column or array with the id of each row, kept as /ids")
    one.add_argument("--type", choices=["float32", "float16", "uint8", "int8", "float64"], help="how elements are stored; default: as they are")
    one.add_argument("--shard-rows", type=int, default=0, metavar="R", help="several files, X-00000.h5 and so on, of R rows each")
    one.add_argument("--force", action="store_true", help="replace files that exist")
    one.set_defaults(run=_convert)
    two = commands.add_parser("labels", help="the labels of a model or of lloyd predict, beside the ids of the rows",
                              description="Writes a table of ids and labels, .csv or .parquet.")
    two.add_argument("model", metavar="FILE.h5", help="what lloyd fit or lloyd predict has written")
    two.add_argument("-o", "--output", required=True, metavar="TABLE", help="its name ends in .parquet or .csv")
    two.set_defaults(run=_labels)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (LloydError, OSError, ImportError) as error:
        print(f"lloyd: {error}", file=sys.stderr)
        return 3 if isinstance(error, ValueError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
