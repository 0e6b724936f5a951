/* Records on their way between ranks, as many at a time as there is room for. */
#ifndef LLOYD_SPLIT_MAIL_H
#define LLOYD_SPLIT_MAIL_H

#include "comm/comm.h"

#include <stdint.h>

typedef struct lloyd_mail {
    lloyd_comm *comm;
    size_t size;          /* of a record, a multiple of 8 */
    int64_t room;         /* records of a block, of which there is one for each rank */
    char *send, *receive; /* [ranks * room * size] */
    int64_t *counts;      /* [ranks] */
} lloyd_mail;

/* The most bytes of a record. */
enum { LLOYD_MAIL_MOST = 1 << 16 };

/* For records of `size` bytes, at most LLOYD_MAIL_MOST. Not collective, but `size` is the same on all ranks. Close it also
 * after a failure. */
lloyd_status lloyd_mail_open(lloyd_comm *comm, size_t size, lloyd_mail *mail);
void lloyd_mail_close(lloyd_mail *mail);

/* Bytes of it. */
int64_t lloyd_mail_bytes(int ranks, size_t size);

/* Room for a record to `rank`, which the caller fills; NULL where there is none before the records so far are delivered. */
void *lloyd_mail_add(lloyd_mail *mail, int rank);

/* How records are written and read. write: adds records until there is no more room (*more = 1) or no more record
 * (*more = 0). read: of a record from rank `source`; those of one source come in the order in which it has added them. */
typedef struct lloyd_mail_ends {
    lloyd_status (*write)(void *context, lloyd_mail *mail, int64_t *more);
    void (*read)(void *context, int source, const void *record);
    void *context;
} lloyd_mail_ends;

/* Delivers until no rank has any more. Collective. */
lloyd_status lloyd_mail_deliver(lloyd_mail *mail, const lloyd_mail_ends *ends);

#endif
