/* See mail.h. */
#include "job/split/mail.h"

#include "base/memory.h"

#include <string.h>

/* Of all blocks of a rank that are sent, and that are received: messages to many ranks are not too short. */
enum { BYTES = 1 << 23, BYTES_OF_RANK = 1 << 15 };

static int64_t room_of(int ranks, size_t size)
{
    return (BYTES / ranks + BYTES_OF_RANK) / (int64_t)size + 1;
}

int64_t lloyd_mail_bytes(int ranks, size_t size)
{
    return 2 * ranks * room_of(ranks, size) * (int64_t)size;
}

lloyd_status lloyd_mail_open(lloyd_comm *comm, size_t size, lloyd_mail *mail)
{
    const char *what = "what is sent to other ranks";
    *mail = (lloyd_mail){.comm = comm, .size = size, .room = room_of(comm->size, size)};
    LLOYD_TRY(lloyd_alloc(&mail->send, comm->size * mail->room, size, what));
    LLOYD_TRY(lloyd_alloc(&mail->receive, comm->size * mail->room, size, what));
    return lloyd_alloc(&mail->counts, comm->size, sizeof *mail->counts, what);
}

void lloyd_mail_close(lloyd_mail *mail)
{
    lloyd_free(mail->send);
    lloyd_free(mail->receive);
    lloyd_free(mail->counts);
    *mail = (lloyd_mail){.comm = NULL};
}

void *lloyd_mail_add(lloyd_mail *mail, int rank)
{
    if (mail->counts[rank] == mail->room) return NULL;
    return mail->send + (size_t)(rank * mail->room + mail->counts[rank]++) * mail->size;
}

static void read_all(const lloyd_mail *mail, const lloyd_mail_ends *ends)
{
    for (int r = 0; r < mail->comm->size; r++) {
        const char *block = mail->receive + (size_t)(r * mail->room) * mail->size;
        for (int64_t i = 0; i < mail->counts[r]; i++)
            ends->read(ends->context, r, block + (size_t)i * mail->size);
    }
}

lloyd_status lloyd_mail_deliver(lloyd_mail *mail, const lloyd_mail_ends *ends)
{
    lloyd_comm *comm = mail->comm;
    int64_t more = 1;
    while (more > 0) {
        memset(mail->counts, 0, (size_t)comm->size * sizeof *mail->counts);
        LLOYD_TRY(comm->agree(comm, ends->write(ends->context, mail, &more)));
        LLOYD_TRY(
            comm->exchange(comm, mail->send, mail->receive, mail->room, mail->size, mail->counts));
        read_all(mail, ends);
        LLOYD_TRY(lloyd_comm_sum_host(comm, &more, 1));
    }
    return LLOYD_OK;
}
