/* See guard.h. */
#include "io/guard.h"

#include "io/hdf5/references.h"
#include "io/path.h"
#include "io/writers/partial_name.h"

#include <stdlib.h>
#include <string.h>

typedef struct lloyd_guarded {
    const char *what; /* or the option */
    char *path;       /* as it was given */
    char *reader;     /* the input that refers to it, or NULL */
    int written;
    lloyd_location place;
} guarded;

static lloyd_status no_memory(const char *path)
{
    return lloyd_fail(LLOYD_FAILED, "cannot compare %s with the other files: out of memory", path);
}

static lloyd_status make_room(lloyd_guard *guard, const char *path)
{
    if (guard->count < guard->capacity) return LLOYD_OK;
    int capacity = guard->capacity ? 2 * guard->capacity : 16;
    guarded *items = realloc(guard->items, (size_t)capacity * sizeof *items);
    if (!items) return no_memory(path);
    guard->items = items;
    guard->capacity = capacity;
    return LLOYD_OK;
}

static lloyd_status add(lloyd_guard *guard, const char *what, const char *path, const char *reader,
                        int written)
{
    if (!path) return LLOYD_OK;
    LLOYD_TRY(make_room(guard, path));
    guarded item = {.what = what, .written = written};
    LLOYD_TRY(lloyd_location_of(path, &item.place));
    item.path = strdup(path);
    item.reader = reader ? strdup(reader) : NULL;
    guard->items[guard->count++] = item;
    return item.path && (item.reader || !reader) ? LLOYD_OK : no_memory(path);
}

lloyd_status lloyd_guard_read(lloyd_guard *guard, const char *what, const char *path)
{
    return add(guard, what, path, NULL, 0);
}

lloyd_status lloyd_guard_write(lloyd_guard *guard, const char *option, const char *path)
{
    return add(guard, option, path, NULL, 1);
}

/* A file that `reader` refers to. */
typedef struct reference {
    lloyd_guard *guard;
    const char *reader;
} reference;

static lloyd_status add_reference(void *data, const char *path)
{
    const reference *r = data;
    return add(r->guard, "", path, r->reader, 0);
}

static lloyd_status add_references(lloyd_guard *guard, const char *path, const char *dataset)
{
    reference r = {guard, path};
    return dataset ? lloyd_references(path, dataset, (lloyd_visitor){add_reference, &r}) : LLOYD_OK;
}

lloyd_status lloyd_guard_read_rows(lloyd_guard *guard, const lloyd_rows *rows)
{
    for (int i = 0; i < lloyd_rows_files(rows); i++) {
        const char *path = lloyd_rows_file(rows, i);
        LLOYD_TRY(lloyd_guard_read(guard, "the input", path));
        LLOYD_TRY(add_references(guard, path, lloyd_rows_dataset(rows, i)));
        LLOYD_TRY(add_references(guard, path, lloyd_rows_weights_dataset(rows, i)));
    }
    return LLOYD_OK;
}

lloyd_status lloyd_guard_read_model(lloyd_guard *guard, const char *path)
{
    LLOYD_TRY(lloyd_guard_read(guard, "the model", path));
    return add_references(guard, path, "/centroids");
}

static lloyd_status refuse_read(const guarded *written, const guarded *read)
{
    if (read->reader) {
        return lloyd_fail(LLOYD_USAGE,
                          "%s %s would replace %s, which %s takes its data from; choose another "
                          "name",
                          written->what, written->path, read->path, read->reader);
    }
    return lloyd_fail(LLOYD_USAGE, "%s %s would replace %s %s; choose another name", written->what,
                      written->path, read->what, read->path);
}

/* A name that partial files of `output` have is for these alone. */
static int is_part_of(const guarded *output, const guarded *other)
{
    return lloyd_location_beside(&output->place, &other->place) &&
           lloyd_partial_is_of(lloyd_path_name(other->place.target),
                               lloyd_path_name(output->place.target));
}

static lloyd_status compare(const guarded *a, const guarded *b)
{
    if (lloyd_location_same(&a->place, &b->place)) {
        if (!b->written) return refuse_read(a, b);
        return lloyd_fail(LLOYD_USAGE, "%s %s and %s %s are one file; give each a name of its own",
                          a->what, a->path, b->what, b->path);
    }
    if (!is_part_of(a, b)) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "%s%s%s has a name that %s %s has until it is complete (those that end in "
                      ".part); choose another one",
                      b->what, *b->what ? " " : "", b->path, a->what, a->path);
}

lloyd_status lloyd_guard_check(const lloyd_guard *guard)
{
    for (int i = 0; i < guard->count; i++) {
        if (!guard->items[i].written) continue;
        for (int other = 0; other < guard->count; other++) {
            /* two that are written are found from either side */
            if (other != i) LLOYD_TRY(compare(&guard->items[i], &guard->items[other]));
        }
    }
    return LLOYD_OK;
}

void lloyd_guard_free(lloyd_guard *guard)
{
    for (int i = 0; i < guard->count; i++) {
        lloyd_location_free(&guard->items[i].place);
        free(guard->items[i].path);
        free(guard->items[i].reader);
    }
    free(guard->items);
    *guard = (lloyd_guard){.items = NULL};
}
