/* A communicator of one rank: every collective is the identity, wherever the values are. */
#include "comm/self.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static lloyd_status sum(lloyd_comm *comm, lloyd_buffer buffer, int64_t count)
{
    (void)comm, (void)buffer, (void)count;
    return LLOYD_OK;
}

static lloyd_status max(lloyd_comm *comm, double *values, int64_t count)
{
    (void)comm, (void)values, (void)count;
    return LLOYD_OK;
}

static lloyd_status broadcast(lloyd_comm *comm, void *data, int64_t bytes, int root)
{
    (void)comm, (void)data, (void)bytes, (void)root;
    return LLOYD_OK;
}

static lloyd_status exclusive_scan(lloyd_comm *comm, int64_t *value)
{
    (void)comm;
    *value = 0;
    return LLOYD_OK;
}

static lloyd_status exchange(lloyd_comm *comm, const void *send, void *receive, int64_t room,
                             size_t size, int64_t *counts)
{
    (void)comm, (void)room;
    if (counts[0] > 0) memcpy(receive, send, (size_t)counts[0] * size);
    return LLOYD_OK;
}

static lloyd_status barrier(lloyd_comm *comm)
{
    (void)comm;
    return LLOYD_OK;
}

static lloyd_status agree(lloyd_comm *comm, lloyd_status status)
{
    (void)comm;
    return status;
}

static void end(lloyd_comm *comm, lloyd_status status)
{
    (void)comm;
    _Exit(status);
}

static void destroy(lloyd_comm *comm)
{
    lloyd_free(comm);
}

lloyd_status lloyd_comm_self(lloyd_comm **comm)
{
    LLOYD_TRY(lloyd_alloc(comm, 1, sizeof **comm, "communicator"));
    **comm = (lloyd_comm){
        .name = "self",
        .rank = 0,
        .size = 1,
        .local_rank = 0,
        .local_size = 1,
        .sum = sum,
        .max = max,
        .broadcast = broadcast,
        .exclusive_scan = exclusive_scan,
        .exchange = exchange,
        .barrier = barrier,
        .agree = agree,
        .abort = end,
        .destroy = destroy,
    };
    return LLOYD_OK;
}
