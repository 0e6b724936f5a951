/* See agreement.h. */
#include "job/agreement.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"
#include "job/backend.h"
#include "lloyd/lloyd.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const lloyd_difference lloyd_differing_options = {LLOYD_USAGE,
                                                  "give all ranks the same command and options"},
                       lloyd_differing_inputs = {LLOYD_BAD_INPUT,
                                                 "give all ranks the same files, and check whether "
                                                 "a copy is incomplete or old"};

/* --- collecting --- */

void lloyd_agreement_add(lloyd_agreement *agreement, const char *format, ...)
{
    va_list arguments;
    char *line = NULL;
    if (!agreement->out) agreement->out = open_memstream(&agreement->text, &agreement->bytes);
    va_start(arguments, format);
    int length = vasprintf(&line, format, arguments);
    va_end(arguments);
    if (!agreement->out || length < 0) {
        agreement->failed = 1;
    } else {
        for (char *at = line; *at != '\0'; at++)
            if (*at == '\n') *at = ' ';
        fprintf(agreement->out, "%s\n", line);
    }
    if (length >= 0) free(line);
}

void lloyd_agreement_begin(lloyd_agreement *agreement, const char *command)
{
    lloyd_agreement_add(agreement, "lloyd " LLOYD_VERSION " (%s)", lloyd_backend_features());
    lloyd_agreement_add(agreement, "the command %s", command);
}

void lloyd_agreement_option(lloyd_agreement *agreement, const char *option, const char *value)
{
    lloyd_agreement_add(agreement, "%s%s%s%s", value ? "" : "no ", option, value ? " " : "",
                        value ? value : "");
}

/* Ends the text; 0 where there was no memory for it. */
static int finish(lloyd_agreement *agreement)
{
    if (!agreement->out) lloyd_agreement_add(agreement, "nothing");
    if (agreement->out && (ferror(agreement->out) | fclose(agreement->out)) != 0)
        agreement->failed = 1;
    agreement->out = NULL;
    return !agreement->failed;
}

/* --- the ranks --- */

/* What every rank reports to the others. */
enum { STATUS, HASH, FIELDS };

static int64_t reported(const int64_t *all, int rank, int field)
{
    return all[(int64_t)rank * FIELDS + field];
}

/* The rank that all are compared with: the first of those whose items most ranks have. */
static int find_reference(const int64_t *all, int size)
{
    int best = 0, most = 0;
    for (int r = 0; r < size && most <= size / 2; r++) {
        int like = 0;
        for (int other = r; other < size; other++)
            like += reported(all, other, HASH) == reported(all, r, HASH);
        if (like > most) best = r, most = like;
    }
    return best;
}

typedef struct field {
    const int64_t *all;
    int field;
    int64_t usual;
} field;

static int is_unusual(const void *context, int rank)
{
    const field *f = context;
    return reported(f->all, rank, f->field) != f->usual;
}

/* The ranks that reported something else than `usual`. Returns how many they are. */
static int list_ranks(const int64_t *all, int size, int which, int64_t usual, char *text,
                      size_t bytes)
{
    return lloyd_text_ranks(size, is_unusual, &(field){all, which, usual}, text, bytes);
}

/* --- failures --- */

/* The lowest rank that failed keeps its message, which says on which ranks it happened. */
static lloyd_status share_failure(const lloyd_comm *comm, const int64_t *all)
{
    char ranks[192], message[LLOYD_MESSAGE_BYTES];
    int first = 0;
    while (reported(all, first, STATUS) == LLOYD_OK) first++;
    lloyd_status status = (lloyd_status)reported(all, first, STATUS);
    if (comm->rank != first) return lloyd_fail(status, "%s", "");
    int count = list_ranks(all, comm->size, STATUS, LLOYD_OK, ranks, sizeof ranks);
    if (count == comm->size) return status;
    snprintf(message, sizeof message, "%s", lloyd_message());
    return lloyd_fail(status, "%s (only on %s of %d)", message, ranks, comm->size);
}

/* --- differences --- */

typedef struct line {
    const char *text;
    int length;
} line;

static line next_line(const char **at)
{
    line l = {*at, (int)strcspn(*at, "\n")};
    *at += l.length + ((*at)[l.length] == '\n');
    return l;
}

/* The next line in which two texts differ; 0: none does. */
static int find_difference(const char **mine, const char **other, line *a, line *b)
{
    while (**mine != '\0' || **other != '\0') {
        *a = next_line(mine);
        *b = next_line(other);
        if (a->length != b->length || strncmp(a->text, b->text, (size_t)a->length) != 0) return 1;
    }
    return 0;
}

enum { SHOWN = 300 };

/* A line as a message has it. */
static const char *show(line l, char *text, size_t bytes)
{
    if (l.length == 0)
        snprintf(text, bytes, "nothing more");
    else
        snprintf(text, bytes, "%.*s%s", l.length < SHOWN ? l.length : SHOWN, l.text,
                 l.length < SHOWN ? "" : "...");
    return text;
}

/* This rank has the items `mine`, which differ from those of the reference. */
static lloyd_status describe(const lloyd_comm *comm, int reference, const char *among,
                             const char *mine, const char *other,
                             const lloyd_difference *difference)
{
    line a, b;
    char has[SHOWN + 16], lacks[SHOWN + 16], more[2 * SHOWN + 64] = "";
    if (!find_difference(&mine, &other, &a, &b))
        return lloyd_fail(LLOYD_FAILED, "the ranks compare wrongly: a mistake in the program");
    show(a, has, sizeof has);
    show(b, lacks, sizeof lacks);
    if (find_difference(&mine, &other, &a, &b)) {
        char next[SHOWN + 16], instead[SHOWN + 16];
        snprintf(more, sizeof more, " (and %s instead of %s)", show(a, next, sizeof next),
                 show(b, instead, sizeof instead));
    }
    return lloyd_fail(difference->status, "%srank %d of %d has %s, but rank %d has %s%s; %s", among,
                      comm->rank, comm->size, has, reference, lacks, more, difference->advice);
}

static lloyd_status tell_difference(const lloyd_comm *comm, const int64_t *all, int reference,
                                    const char *mine, const char *other,
                                    const lloyd_difference *difference)
{
    int64_t usual = reported(all, reference, HASH);
    char ranks[192], among[256] = "";
    int first = 0;
    while (reported(all, first, HASH) == usual) first++;
    if (comm->rank != first) return lloyd_fail(difference->status, "%s", "");
    if (list_ranks(all, comm->size, HASH, usual, ranks, sizeof ranks) > 1)
        snprintf(among, sizeof among, "%s differ from rank %d: ", ranks, reference);
    return describe(comm, reference, among, mine, other, difference);
}

/* All ranks get the items of the reference, to compare theirs with. */
static lloyd_status share_difference(lloyd_comm *comm, const int64_t *all,
                                     const lloyd_agreement *agreement,
                                     const lloyd_difference *difference)
{
    int reference = find_reference(all, comm->size);
    int64_t bytes = (int64_t)agreement->bytes;
    char *text = NULL;
    LLOYD_TRY(comm->broadcast(comm, &bytes, sizeof bytes, reference));
    LLOYD_TRY(lloyd_comm_alloc(comm, &text, bytes + 1, 1, "what the ranks compare"));
    if (comm->rank == reference) memcpy(text, agreement->text, (size_t)bytes);
    lloyd_status status = comm->broadcast(comm, text, bytes, reference);
    if (status == LLOYD_OK)
        status = tell_difference(comm, all, reference, agreement->text, text, difference);
    lloyd_free(text);
    return status;
}

/* --- all together --- */

static lloyd_status compare(lloyd_comm *comm, lloyd_status status, const lloyd_agreement *agreement,
                            int64_t *all, const lloyd_difference *difference)
{
    int64_t *mine = all + (int64_t)comm->rank * FIELDS;
    uint64_t hash = status == LLOYD_OK ? lloyd_hash(0, agreement->text, agreement->bytes) : 0;
    mine[STATUS] = status;
    memcpy(&mine[HASH], &hash, sizeof hash);
    LLOYD_TRY(lloyd_comm_sum_host(comm, all, (int64_t)comm->size * FIELDS));
    for (int r = 0; r < comm->size; r++)
        if (reported(all, r, STATUS) != LLOYD_OK) return share_failure(comm, all);
    for (int r = 1; r < comm->size; r++)
        if (reported(all, r, HASH) != reported(all, 0, HASH))
            return share_difference(comm, all, agreement, difference);
    return LLOYD_OK;
}

lloyd_status lloyd_agreement_compare(lloyd_comm *comm, lloyd_status status,
                                     lloyd_agreement *agreement, const lloyd_difference *difference)
{
    int64_t *all = NULL, fields = (int64_t)comm->size * FIELDS;
    if (!finish(agreement) && status == LLOYD_OK)
        status = lloyd_fail(LLOYD_FAILED, "out of memory for what the ranks compare");
    if (comm->size > 1) {
        lloyd_status room =
            lloyd_comm_alloc(comm, &all, fields, sizeof *all, "what the ranks compare");
        status = room == LLOYD_OK ? compare(comm, status, agreement, all, difference) : room;
    }
    lloyd_free(all);
    free(agreement->text);
    *agreement = (lloyd_agreement){0};
    return status;
}
