/* What a launcher (mpirun, mpiexec, srun) says of this process in its environment. */
#ifndef LLOYD_LAUNCH_H
#define LLOYD_LAUNCH_H

typedef struct lloyd_launch {
    int found; /* 0: started by itself, or as the only task of a Slurm step */
    int rank;
    int size;       /* 0: not given */
    int local_rank; /* among those of this node, -1: not given */
    int local_size; /* of this node, 0: not given */
} lloyd_launch;

/* Looks into the variables of `envp`, as main() gets them. Needs no library, so that it can be called
 * before any is initialised. */
lloyd_launch lloyd_find_launch(char *const *envp);

#endif
