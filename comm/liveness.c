/* See liveness.h. */
#include "comm/liveness.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"

#include <string.h>
#include <time.h>

/* What a message says, by its tag. */
enum {
    RESPONDS,     /* to a check */
    FAILED,       /* where no agreement reaches the others */
    ACKNOWLEDGED, /* of rank 0: it has seen a failure, and will leave */
    LEAVES        /* it has no more to print or to save */
};

/* Ranks that wait look for messages a hundred times a second. */
static const double CHECK_SECONDS = 2, FAILED_SECONDS = 0.5;

/* How long a rank that has failed waits until rank 0 has seen it, which may be in a pass over its rows; and
 * then until that has saved what it keeps. */
static const double NOTICE_SECONDS = 15, SAVE_SECONDS = 60;

struct lloyd_liveness {
    MPI_Comm comm;
    int rank, size;
    int speaker;    /* the rank that prints the message of this check or failure */
    int due;        /* 1: rank 0 is known to leave, sooner or later */
    double notice;  /* seconds that rank 0 has to become so */
    char *responds; /* [size] */
};

lloyd_status lloyd_liveness_make(int size, lloyd_liveness **liveness)
{
    lloyd_liveness *l;
    *liveness = NULL;
    LLOYD_TRY(lloyd_alloc(&l, 1, sizeof *l, "the liveness check"));
    l->comm = MPI_COMM_NULL;
    l->size = size;
    *liveness = l;
    return lloyd_alloc(&l->responds, size, 1, "the liveness check");
}

lloyd_status lloyd_liveness_open(lloyd_liveness *l, MPI_Comm comm)
{
    if (MPI_Comm_dup(comm, &l->comm) != MPI_SUCCESS)
        return lloyd_fail(LLOYD_FAILED, "MPI failed in the start of the liveness check");
    (void)MPI_Comm_rank(l->comm, &l->rank);
    return LLOYD_OK;
}

static int is_there(const lloyd_liveness *l, int source, int tag)
{
    int there = 0;
    (void)MPI_Iprobe(source, tag, l->comm, &there, MPI_STATUS_IGNORE);
    return there;
}

int lloyd_liveness_is_checked(const lloyd_liveness *l)
{
    return is_there(l, MPI_ANY_SOURCE, RESPONDS);
}

int lloyd_liveness_has_failure(const lloyd_liveness *l)
{
    return is_there(l, MPI_ANY_SOURCE, FAILED);
}

/* To all others; not waited for, since some may never receive it. */
static void send(const lloyd_liveness *l, int tag)
{
    for (int r = 0; r < l->size; r++) {
        MPI_Request request;
        if (r != l->rank && MPI_Isend(NULL, 0, MPI_BYTE, r, tag, l->comm, &request) == MPI_SUCCESS)
            (void)MPI_Request_free(&request);
    }
}

static void take_nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* l->responds = the ranks whose message `tag` comes within some seconds, and the speaker is the lowest of
 * them. */
static void collect(lloyd_liveness *l, int tag, double seconds)
{
    for (double end = lloyd_seconds() + seconds; lloyd_seconds() < end;) {
        MPI_Status from;
        while (is_there(l, MPI_ANY_SOURCE, tag) &&
               MPI_Recv(NULL, 0, MPI_BYTE, MPI_ANY_SOURCE, tag, l->comm, &from) == MPI_SUCCESS)
            l->responds[from.MPI_SOURCE] = 1;
        take_nap();
    }
    const char *lowest = memchr(l->responds, 1, (size_t)l->size);
    l->speaker = lowest ? (int)(lowest - l->responds) : l->rank;
    l->due = l->responds[0] != 0;
}

/* Sends `tag` and collects it, on all ranks that are in the same state. Returns whether this is the speaker. */
static int meet(lloyd_liveness *l, int tag, double seconds)
{
    memset(l->responds, 0, (size_t)l->size);
    l->responds[l->rank] = 1;
    send(l, tag);
    collect(l, tag, seconds);
    return l->speaker == l->rank;
}

int lloyd_liveness_fail(lloyd_liveness *l)
{
    if (l->comm == MPI_COMM_NULL) return 1;
    l->notice = NOTICE_SECONDS;
    return meet(l, FAILED, FAILED_SECONDS);
}

void lloyd_liveness_acknowledge(lloyd_liveness *l)
{
    memset(l->responds, 0, (size_t)l->size);
    send(l, ACKNOWLEDGED);
    collect(l, FAILED, FAILED_SECONDS);
}

static int is_silent(const void *liveness, int rank)
{
    return !((const lloyd_liveness *)liveness)->responds[rank];
}

int lloyd_liveness_check(lloyd_liveness *l, const char *what, double seconds)
{
    l->notice = 0;
    if (!meet(l, RESPONDS, CHECK_SECONDS)) return 0;
    char ranks[256];
    int missing = lloyd_text_ranks(l->size, is_silent, l, ranks, sizeof ranks);
    if (missing == 0) {
        (void)lloyd_fail(LLOYD_FAILED,
                         "all %d ranks are in %s, which has not ended after %.0f s; look at the "
                         "network and the GPUs, or give it more time with --timeout",
                         l->size, what, seconds);
        return 1;
    }
    (void)lloyd_fail(LLOYD_FAILED,
                     "%s of %d %s not arrived in %s after %.0f s; look at what became of %s, or "
                     "give slow ranks more time with --timeout",
                     ranks, l->size, missing == 1 ? "has" : "have", what, seconds,
                     missing == 1 ? "it" : "them");
    return 1;
}

/* Whether rank 0 has left, or is not waited for any longer after so many seconds. */
static int keeper_is_done(lloyd_liveness *l, double seconds)
{
    if (l->rank == 0 || is_there(l, 0, LEAVES)) return 1;
    if (!l->due) l->due = is_there(l, 0, ACKNOWLEDGED) || is_there(l, 0, FAILED);
    return seconds > (l->due ? SAVE_SECONDS : l->notice);
}

static int speaker_is_done(const lloyd_liveness *l, double seconds)
{
    return l->speaker == l->rank || is_there(l, l->speaker, LEAVES) || seconds > NOTICE_SECONDS;
}

void lloyd_liveness_leave(lloyd_liveness *l)
{
    double began = lloyd_seconds(), seconds = 0;
    if (l->comm == MPI_COMM_NULL) return;
    send(l, LEAVES);
    while (!keeper_is_done(l, seconds) || !speaker_is_done(l, seconds)) {
        take_nap();
        seconds = lloyd_seconds() - began;
    }
}

void lloyd_liveness_close(lloyd_liveness *l)
{
    if (!l) return;
    if (l->comm != MPI_COMM_NULL) (void)MPI_Comm_free(&l->comm);
    lloyd_free(l->responds);
    lloyd_free(l);
}
