/* A communicator of all ranks and a folder that they share, for tests of cmocka on several ranks. */
#ifndef SHARED_FOLDER_H
#define SHARED_FOLDER_H

#include "lloyd/lloyd_mpi.h"

#include "comm/comm.h"

#include "on_ranks.h"

#include <stdlib.h>
#include <unistd.h>

static lloyd_comm *comm;
static char folder[512];

static const char *path_of(const char *name, char *path, size_t bytes)
{
    snprintf(path, bytes, "%s/%s", folder, name);
    return path;
}

/* For the setup of a group: opens the communicator, and rank 0 makes the folder. Not 0 if that fails. */
static int open_shared_folder(void)
{
    if (lloyd_comm_open_mpi(MPI_COMM_WORLD, &comm) != LLOYD_OK) return 1;
    const char *at = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/lloyd-test-mpi-XXXXXX", at ? at : "/tmp");
    int made = comm->rank != 0 || mkdtemp(folder) != NULL;
    return comm->broadcast(comm, folder, sizeof folder, 0) != LLOYD_OK || !made;
}

/* For its teardown: removes the folder with the files of these names. Not 0 if one is missing, or there are others. */
static int close_shared_folder(const char *const *names, int count)
{
    int left = 0;
    (void)end_all_if_failed(NULL);
    (void)comm->barrier(comm);
    for (int i = 0; comm->rank == 0 && i < count; i++) {
        char path[600];
        left += unlink(path_of(names[i], path, sizeof path)) != 0;
    }
    if (comm->rank == 0) left += rmdir(folder) != 0;
    lloyd_comm_close(comm);
    return left;
}

#endif
