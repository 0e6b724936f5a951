/* See centroids.h. A centroid travels in pieces where it is long. */
#include "job/split/centroids.h"

#include "job/split/checkpoint.h"
#include "job/split/mail.h"

#include <string.h>

/* The beginning of a piece of a centroid: the centroid is the cluster's. */
typedef struct header {
    int64_t cluster, centroid, column;
    lloyd_split_found found;
} header;

typedef struct moving {
    lloyd_splitting *s;
    int out;                           /* 1: from rank 0 */
    int64_t cluster, centroid, column; /* the next piece */
    int64_t piece;                     /* columns */
} moving;

static int64_t columns_of_piece(int64_t d)
{
    const int64_t most =
        (LLOYD_MAIL_MOST - (int64_t)sizeof(header)) / (int64_t)sizeof(float) / 2 * 2;
    return d < most ? d : most;
}

static size_t record_bytes(int64_t piece)
{
    return (sizeof(header) + (size_t)piece * sizeof(float) + 7) / 8 * 8;
}

/* The rank that gets the centroids of a cluster from this one, -1: none. */
static int destination(const moving *m, int64_t c)
{
    const lloyd_splitting *s = m->s;
    const int rank = lloyd_split_rank(s, c), here = s->comm->rank;
    if (m->out)
        return here == 0 && rank != 0 && lloyd_split_checkpoint_known(s->checkpoint, c) ? rank : -1;
    return here != 0 && rank == here && s->state[c] == LLOYD_SPLIT_FITTED ? 0 : -1;
}

static lloyd_split_found found_of(const lloyd_splitting *s, int64_t c)
{
    return (lloyd_split_found){.inertia = s->inertia[c],
                               .iterations = s->iterations[c],
                               .converged = s->converged[c]};
}

static int add_centroid(moving *m, lloyd_mail *mail, int rank)
{
    const lloyd_splitting *s = m->s;
    const int64_t d = s->source.d, c = m->cluster;
    const float *centroid = s->centroids + (s->place[c] + m->centroid) * d;
    while (m->column < d) {
        char *record = lloyd_mail_add(mail, rank);
        if (!record) return 0;
        const header head = {c, m->centroid, m->column, found_of(s, c)};
        int64_t columns = d - m->column < m->piece ? d - m->column : m->piece;
        memcpy(record, &head, sizeof head);
        memcpy(record + sizeof head, centroid + m->column, (size_t)columns * sizeof *centroid);
        m->column += columns;
    }
    m->column = 0;
    return 1;
}

static lloyd_status write_centroids(void *context, lloyd_mail *mail, int64_t *more)
{
    moving *m = context;
    const lloyd_splitting *s = m->s;
    *more = 1;
    for (; m->cluster < s->parent.k; m->cluster++) {
        const int64_t c = m->cluster, count = s->first[c + 1] - s->first[c];
        const int rank = destination(m, c);
        if (rank < 0) continue;
        for (; m->centroid < count; m->centroid++)
            if (!add_centroid(m, mail, rank)) return LLOYD_OK;
        m->centroid = 0;
    }
    *more = 0;
    return LLOYD_OK;
}

/* Pieces come in order, so a cluster is complete with its last one. */
static void read_centroid(void *context, int source, const void *record)
{
    const moving *m = context;
    const lloyd_splitting *s = m->s;
    const int64_t d = s->source.d;
    header head;
    (void)source;
    memcpy(&head, record, sizeof head);
    const int64_t c = head.cluster, last = s->first[c + 1] - s->first[c] - 1;
    int64_t columns = d - head.column < m->piece ? d - head.column : m->piece;
    memcpy(s->centroids + (s->place[c] + head.centroid) * d + head.column,
           (const char *)record + sizeof head, (size_t)columns * sizeof(float));
    if (!m->out && head.centroid == last && head.column + columns == d)
        lloyd_split_checkpoint_keep(s->checkpoint, c, &head.found);
}

static lloyd_status move(lloyd_splitting *s, int out)
{
    moving m = {.s = s, .out = out, .piece = columns_of_piece(s->source.d)};
    const lloyd_mail_ends ends = {write_centroids, read_centroid, &m};
    lloyd_mail mail;
    if (s->comm->size == 1) return LLOYD_OK;
    lloyd_status status =
        s->comm->agree(s->comm, lloyd_mail_open(s->comm, record_bytes(m.piece), &mail));
    if (status == LLOYD_OK) status = lloyd_mail_deliver(&mail, &ends);
    lloyd_mail_close(&mail);
    return status;
}

lloyd_status lloyd_split_collect(lloyd_splitting *s)
{
    LLOYD_TRY(move(s, 0));
    for (int64_t c = 0; c < s->parent.k; c++)
        if (s->state[c] == LLOYD_SPLIT_FITTED) s->state[c] = LLOYD_SPLIT_COLLECTED;
    return LLOYD_OK;
}

lloyd_status lloyd_split_hand_out(lloyd_splitting *s)
{
    return move(s, 1);
}

int64_t lloyd_split_collect_bytes(const lloyd_splitting *s)
{
    if (s->comm->size == 1) return 0;
    return lloyd_mail_bytes(s->comm->size, record_bytes(columns_of_piece(s->source.d)));
}
