/* Ranks that fail where no agreement reaches the others, as in NCCL, for e2e/interruptions/test_lost_ranks.py.
 *
 *     lloyd_break_off RANKS FILE
 *
 * The ranks of the list ("0,2") fail, all others wait in a sum for ever. Rank 0 takes two seconds to save, into FILE, what
 * it keeps: as a rank that waits, or, if it fails itself, between its failure and the end.
 */
#include "comm/mpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void save(void *file)
{
    sleep(2);
    FILE *out = fopen(file, "w");
    if (out) fclose(out);
}

static int fails(const char *list, int rank)
{
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (atoi(at) == rank) return 1;
    return 0;
}

int main(int argc, char **argv)
{
    lloyd_comm *comm;
    int64_t value = 1;
    if (argc != 3 || lloyd_comm_world(&comm) != LLOYD_OK) return 2;
    comm->rescue = save;
    comm->rescued = argv[2];
    if (fails(argv[1], comm->rank)) {
        (void)lloyd_fail(LLOYD_FAILED, "rank %d fails alone", comm->rank);
        comm->break_off(comm);
        if (comm->rank == 0) save(argv[2]);
    } else {
        (void)lloyd_comm_sum_host(comm, &value, 1);
    }
    comm->destroy(comm); /* ends all ranks */
    return 0;
}
