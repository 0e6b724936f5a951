/* Inputs as a person writes them. A ':' may be part of a file name, so a file that exists under
 * the whole name wins, and only then is the name split at its last ':'. */
#include "io/input.h"

#include "io/h5.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static lloyd_status no_memory(void)
{
    return lloyd_fail(LLOYD_FAILED, "cannot list the input files: out of memory");
}

static lloyd_status append(lloyd_input_list *list, const char *path, const char *dataset)
{
    if (list->count == list->capacity) {
        int capacity = list->capacity ? 2 * list->capacity : 16;
        lloyd_input *items = realloc(list->items, (size_t)capacity * sizeof *items);
        if (!items) return no_memory();
        list->items = items;
        list->capacity = capacity;
    }
    lloyd_input input = {strdup(path),
                         dataset ? lloyd_h5_join(*dataset == '/' ? "" : "/", dataset) : NULL};
    if (!input.path || (dataset && !input.dataset)) {
        free(input.path);
        free(input.dataset);
        return no_memory();
    }
    list->items[list->count++] = input;
    return LLOYD_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Appends the matches of a pattern, in an order that no locale changes; *matches = their number. */
static lloyd_status append_matches(lloyd_input_list *list, const char *pattern, const char *dataset,
                                   size_t *matches)
{
    *matches = 0;
    if (!strpbrk(pattern, "*?[{")) return LLOYD_OK;
    glob_t found = {0};
    int result = glob(pattern, GLOB_NOSORT | GLOB_BRACE, NULL, &found);
    lloyd_status status = result == GLOB_NOSPACE ? no_memory() : LLOYD_OK;
    if (result == 0) {
        *matches = found.gl_pathc;
        qsort(found.gl_pathv, found.gl_pathc, sizeof found.gl_pathv[0], by_bytes);
        for (size_t i = 0; i < found.gl_pathc && status == LLOYD_OK; i++)
            status = append(list, found.gl_pathv[i], dataset);
    }
    globfree(&found);
    return status;
}

/* Appends what exists under a name, taken literally or as a pattern. */
static lloyd_status append_existing(lloyd_input_list *list, const char *name, const char *dataset,
                                    size_t *matches)
{
    if (access(name, F_OK) == 0) {
        *matches = 1;
        return append(list, name, dataset);
    }
    return append_matches(list, name, dataset, matches);
}

lloyd_status lloyd_input_expand(const char *input, lloyd_input_list *list)
{
    size_t matches;
    LLOYD_TRY(append_existing(list, input, NULL, &matches));
    if (matches > 0) return LLOYD_OK;
    const char *colon = strrchr(input, ':');
    if (colon && colon > input && colon[1] == '\0') {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot open %s: no dataset is named after the ':'; write FILE or FILE:DATASET", input);
    }
    char *path = colon && colon > input ? strndup(input, (size_t)(colon - input)) : strdup(input);
    const char *dataset = colon && colon > input ? colon + 1 : NULL;
    if (!path) return no_memory();
    lloyd_status status = append_existing(list, path, dataset, &matches);
    if (status == LLOYD_OK && matches == 0) {
        if (strpbrk(path, "*?[{")) {
            status =
                lloyd_fail(LLOYD_BAD_INPUT,
                           "no file matches the pattern %s; check the directory and the pattern",
                           path);
        } else {
            status = append(list, path, dataset); /* opening it will say that it is not there */
        }
    }
    free(path);
    return status;
}

void lloyd_input_free(lloyd_input_list *list)
{
    for (int i = 0; i < list->count; i++) {
        free(list->items[i].path);
        free(list->items[i].dataset);
    }
    free(list->items);
    memset(list, 0, sizeof *list);
}

lloyd_status lloyd_input_default(hid_t file, const char *path, char **name)
{
    lloyd_h5_list list;
    lloyd_h5_list_matrices(file, &list);
    *name = NULL;
    if (list.count == 1 && !list.unreadable) {
        *name = list.names[0];
        list.names[0] = NULL;
    }
    lloyd_h5_list_free(&list);
    if (*name) return LLOYD_OK;
    if (H5Lexists(file, "/train", H5P_DEFAULT) > 0) {
        *name = strdup("/train");
        return *name ? LLOYD_OK : no_memory();
    }
    char text[1024];
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot tell which dataset of %s is meant: it has no /train, and %s; name one as FILE:DATASET",
        path, lloyd_h5_list_text(file, text, sizeof text));
}
