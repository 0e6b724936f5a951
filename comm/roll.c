/* See roll.h. */
#include "comm/roll.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { HERE, FAILED }; /* what a message says, by its tag */

/* Ranks that wait look for a roll call a hundred times a second. */
static const double ROLL_SECONDS = 2, FAILED_SECONDS = 0.5;

struct lloyd_roll {
    MPI_Comm comm;
    int rank, size;
    char *told; /* [size] */
};

lloyd_status lloyd_roll_make(int size, lloyd_roll **roll)
{
    lloyd_roll *r;
    *roll = NULL;
    LLOYD_TRY(lloyd_alloc(&r, 1, sizeof *r, "the roll call"));
    r->comm = MPI_COMM_NULL;
    r->size = size;
    *roll = r;
    return lloyd_alloc(&r->told, size, 1, "the roll call");
}

lloyd_status lloyd_roll_open(lloyd_roll *roll, MPI_Comm comm)
{
    if (MPI_Comm_dup(comm, &roll->comm) != MPI_SUCCESS)
        return lloyd_fail(LLOYD_FAILED, "MPI failed in the start of the roll call");
    (void)MPI_Comm_rank(roll->comm, &roll->rank);
    return LLOYD_OK;
}

static int is_told(const lloyd_roll *roll, int what)
{
    int told = 0;
    (void)MPI_Iprobe(MPI_ANY_SOURCE, what, roll->comm, &told, MPI_STATUS_IGNORE);
    return told;
}

int lloyd_roll_is_called(const lloyd_roll *roll)
{
    return is_told(roll, HERE);
}

/* To all others; not waited for, since some may never receive it. */
static void tell(const lloyd_roll *roll, int what)
{
    for (int r = 0; r < roll->size; r++) {
        MPI_Request request;
        if (r != roll->rank &&
            MPI_Isend(NULL, 0, MPI_BYTE, r, what, roll->comm, &request) == MPI_SUCCESS)
            (void)MPI_Request_free(&request);
    }
}

/* roll->told = the ranks that tell `what` within some seconds, this one among them. Returns whether
 * this is the lowest of them. */
static int listen(lloyd_roll *roll, int what, double seconds)
{
    const struct timespec nap = {.tv_nsec = 10000000};
    memset(roll->told, 0, (size_t)roll->size);
    roll->told[roll->rank] = 1;
    tell(roll, what);
    for (double end = lloyd_seconds() + seconds; lloyd_seconds() < end;) {
        MPI_Status from;
        while (is_told(roll, what) &&
               MPI_Recv(NULL, 0, MPI_BYTE, MPI_ANY_SOURCE, what, roll->comm, &from) == MPI_SUCCESS)
            roll->told[from.MPI_SOURCE] = 1;
        (void)nanosleep(&nap, NULL);
    }
    return memchr(roll->told, 1, (size_t)roll->size) == roll->told + roll->rank;
}

int lloyd_roll_speaks(lloyd_roll *roll)
{
    return listen(roll, FAILED, FAILED_SECONDS);
}

/* "1, 2, 5 and 9 more": the missing ranks. Returns how many they are. */
static int list_missing(const lloyd_roll *roll, char *text, size_t bytes)
{
    enum { NAMED = 16 };
    int missing = 0;
    size_t at = 0;
    text[0] = '\0';
    for (int r = 0; r < roll->size; r++) {
        if (roll->told[r] || missing++ >= NAMED) continue;
        int written = snprintf(text + at, bytes - at, "%s%d", missing > 1 ? ", " : "", r);
        if (written > 0 && (size_t)written < bytes - at) at += (size_t)written;
    }
    if (missing > NAMED) snprintf(text + at, bytes - at, " and %d more", missing - NAMED);
    return missing;
}

int lloyd_roll_call(lloyd_roll *roll, const char *what, double seconds)
{
    if (!listen(roll, HERE, ROLL_SECONDS)) return 0;
    char names[256];
    int missing = list_missing(roll, names, sizeof names);
    if (missing == 0) {
        (void)lloyd_fail(LLOYD_FAILED,
                         "all %d ranks are in %s, which has not ended after %.0f s; look at the "
                         "network and the GPUs, or give it more time with --timeout",
                         roll->size, what, seconds);
        return 1;
    }
    (void)lloyd_fail(LLOYD_FAILED,
                     "%s %s of %d %s not arrived in %s after %.0f s; look at what became of %s, or "
                     "give slow ranks more time with --timeout",
                     missing == 1 ? "rank" : "ranks", names, roll->size,
                     missing == 1 ? "has" : "have", what, seconds, missing == 1 ? "it" : "them");
    return 1;
}

void lloyd_roll_close(lloyd_roll *roll)
{
    if (!roll) return;
    if (roll->comm != MPI_COMM_NULL) (void)MPI_Comm_free(&roll->comm);
    lloyd_free(roll->told);
    lloyd_free(roll);
}
