#include "program/launch.h"
#include "program/early.h"

#include <stddef.h>

/* The value of a variable, NULL if it is not set. */
LLOYD_EARLY static const char *value_of(const char *name, char *const *envp)
{
    for (; *envp; envp++) {
        size_t i = 0;
        while (name[i] != '\0' && (*envp)[i] == name[i]) i++;
        if (name[i] == '\0' && (*envp)[i] == '=') return *envp + i + 1;
    }
    return NULL;
}

/* A number that is not negative; 0 where there is none. */
LLOYD_EARLY static int number(const char *text)
{
    int value = 0;
    for (; text && *text >= '0' && *text <= '9' && value < 100000000; text++)
        value = 10 * value + (*text - '0');
    return value;
}

LLOYD_EARLY lloyd_launch lloyd_find_launch(char *const *envp)
{
    static const struct {
        const char *rank, *size, *local_rank, *local_size;
        int least; /* fewer ranks are no launch: Slurm sets its variables without MPI too */
    } known[] = {  /* Open MPI */
                 {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
                  "OMPI_COMM_WORLD_LOCAL_SIZE", 0},
                 /* MPICH, Intel MPI; srun --mpi=pmi2 */
                 {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", 0},
                 /* MVAPICH */
                 {"MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK",
                  "MV2_COMM_WORLD_LOCAL_SIZE", 0},
                 /* srun --mpi=pmix, PRRTE */
                 {"PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE",
                  0},
                 {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID",
                  "SLURM_STEP_TASKS_PER_NODE", 2}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *rank = value_of(known[i].rank, envp);
        const char *local_rank = value_of(known[i].local_rank, envp);
        int ranks = number(value_of(known[i].size, envp));
        if (rank && ranks >= known[i].least)
            return (lloyd_launch){.found = 1,
                                  .rank = number(rank),
                                  .size = ranks,
                                  .local_rank = local_rank ? number(local_rank) : -1,
                                  .local_size = number(value_of(known[i].local_size, envp))};
    }
    return (lloyd_launch){.local_rank = -1};
}
