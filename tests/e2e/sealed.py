"""Checkpoints of splits that hold less than they did: their clusters taken out, and the file sealed again (docs/formats.md)."""
import shutil

import h5py
import numpy as np

SEAL, BLOCK, MASK = 512, 1 << 20, 2**64 - 1


def hash_word(value, word):
    """The finalizer of SplitMix64, as src/base/hash.h has it."""
    z = ((value ^ word) + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def seal(path):
    with open(path, "r+b") as file:
        content = file.read()[SEAL:]
        value = 0
        for at in range(0, len(content), BLOCK):
            block = content[at:at + BLOCK]
            for word in np.frombuffer(block + bytes(-len(block) % 8), "<u8"):
                value = hash_word(value, int(word))
            value = hash_word(value, len(block))
        file.seek(0)
        file.write(f"lloyd checkpoint, {len(content)} bytes of HDF5 follow, hash {value:016x}\n".encode().ljust(SEAL, b"\0"))


def clusters_of(path):
    with h5py.File(path, "r") as file:
        return file["clusters"][()]


def keep(path, chosen, parts, to):
    """`to`: the checkpoint `path` with the clusters only for which chosen() is true. parts: sub-clusters of each cluster of the model."""
    shutil.copy(path, to)
    with h5py.File(to, "r+") as file:
        clusters = file["clusters"][()]
        kept = np.array([bool(chosen(c)) for c in clusters])
        values = {name: file[name][()][kept] for name in ("clusters", "inertia", "iterations", "converged")}
        values["subcentroids"] = file["subcentroids"][()][np.repeat(kept, [parts[c] for c in clusters])]
        for name, value in values.items():
            del file[name]
            file[name] = value
        file.attrs.modify("done", np.int64(kept.sum()))
        file.attrs.modify("parts", np.int64(len(values["subcentroids"])))
    seal(to)


def change(path, name, index, value):
    """One value of a dataset is another, and the seal is right."""
    with h5py.File(path, "r+") as file:
        file[name][index] = value
    seal(path)
