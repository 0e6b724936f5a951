#!/usr/bin/env python3
"""Makes sift-20k.h5, the real data that the tests and the demo use: every tenth row of a file of
200,000 SIFT descriptors of photographs.

    make_sample.py sift-photos-200k.h5 sift-20k.h5
"""
import sys

import h5py

STEP = 10

with h5py.File(sys.argv[1], "r") as source, h5py.File(sys.argv[2], "w", track_order=False) as out:
    rows = source["train"]
    sample = out.create_dataset("train", data=rows[::STEP], track_times=False)
    sample.attrs["description"] = (
        f"{rows.attrs['description']}; every {STEP}th of its {rows.shape[0]} rows, from row 0"
    )
