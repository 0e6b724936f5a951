"""Run by test_python_kmeans.py under mpirun: each rank gives its rows to lloyd.KMeans, and rank 0 writes what all got.

    on_ranks.py WHAT INPUT OUTPUT.npz        WHAT: array or path; INPUT: a .npy file
"""
import sys

import lloyd
import numpy as np
from mpi4py import MPI

what, source, output = sys.argv[1:]
comm = MPI.COMM_WORLD
rank, size = comm.Get_rank(), comm.Get_size()
rows = np.load(source, mmap_mode="r")
begin, end = len(rows) * rank**2 // size**2, len(rows) * (rank + 1)**2 // size**2
X = rows[begin:end] if what == "array" else source
model = lloyd.KMeans(7, random_state=3, max_iter=8, init="random", comm=comm).fit(X)
labels, again, score = model.labels_, model.predict(X), model.score(X)
if what == "array":
    labels, again = (np.concatenate(comm.allgather(part)) for part in (labels, again))

# A wrong argument on one rank is everybody's exception, and the ranks continue.
try:
    lloyd.KMeans(7, comm=comm, metric="cosine" if rank == size - 1 else "l2", random_state=0).fit(X)
    told = size == 1
except lloyd.LloydValueError as error:
    told = "--metric cosine" in str(error) or "another rank" in str(error)
seeds = set(comm.allgather(lloyd.KMeans(7, comm=comm)._seed()))
all_told = comm.allreduce(int(told))
if rank == 0:
    history = model.history_
    np.savez(output, centroids=model.cluster_centers_, counts=model.counts_, labels=labels, again=again, inertia=model.inertia_,
             score=score, history=history["inertia"], moved=history["moved"], told=all_told, seeds=len(seeds))
