/* Inputs as a person writes them. A ':' may be part of a file name, so a file that exists under
 * the whole name wins, and only then is the name split at its last ':'. */
#include "io/input.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- What is said of them ------------------------------------------------------------------- */

static lloyd_status find_type(const char *name, lloyd_headerless *headerless)
{
    static const lloyd_type types[] = {LLOYD_F32, LLOYD_F16, LLOYD_BF16, LLOYD_U8, LLOYD_I8};
    headerless->wide = strcmp(name, "float64") == 0;
    headerless->type = LLOYD_F32;
    for (size_t i = 0; i < sizeof types / sizeof *types && !headerless->wide; i++) {
        headerless->type = types[i];
        if (strcmp(name, lloyd_type_name(types[i])) == 0) return LLOYD_OK;
    }
    if (headerless->wide) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "--raw %s: give float32, float16, bfloat16, uint8, int8 or float64", name);
}

lloyd_status lloyd_input_form_make(const char *dataset, const char *raw, int64_t dim,
                                   lloyd_input_form *form)
{
    *form = (lloyd_input_form){.dataset = dataset};
    if (!raw && dim == 0) return LLOYD_OK;
    if (!raw) {
        return lloyd_fail(LLOYD_USAGE,
                          "--dim %lld is for files without a header; give --raw TYPE too, or leave "
                          "--dim out",
                          (long long)dim);
    }
    if (dim < 1) {
        return lloyd_fail(
            LLOYD_USAGE,
            "--raw %s needs --dim D, the number of columns: files without a header do "
            "not say it",
            raw);
    }
    if (dataset) {
        return lloyd_fail(LLOYD_USAGE,
                          "--raw %s: files without a header have no datasets; leave --dataset out",
                          raw);
    }
    form->headerless.columns = dim;
    return find_type(raw, &form->headerless);
}

/* ---- Their names ---------------------------------------------------------------------------- */

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
    lloyd_input input = {strdup(path), NULL};
    if (dataset && asprintf(&input.dataset, "%s%s", *dataset == '/' ? "" : "/", dataset) < 0)
        input.dataset = NULL;
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

/* glob() takes what it may not look at for what is not there, in a folder that cannot be listed as
 * in one that cannot be entered. So it looks through these functions, which remember the first
 * place that is there and cannot be seen. One glob() at a time. */
static pthread_mutex_t globbing = PTHREAD_MUTEX_INITIALIZER;

static struct {
    char *path;
    int error;
} unseen;

static void remember(const char *path)
{
    if (errno == ENOENT || errno == ENOTDIR || unseen.error) return;
    unseen.error = errno;
    unseen.path = strdup(path);
}

static void *open_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) remember(path);
    return folder;
}

static struct dirent *read_folder(void *folder)
{
    /* cppcheck-suppress readdirCalled; the folder is this thread's own */
    return readdir(folder);
}

static void close_folder(void *folder)
{
    closedir(folder);
}

static int look_at(const char *path, struct stat *info)
{
    int result = lstat(path, info);
    if (result != 0) remember(path);
    return result;
}

static int look_behind(const char *path, struct stat *info)
{
    int result = stat(path, info);
    if (result != 0) remember(path);
    return result;
}

/* glob(), and whether anything was kept from it. */
static lloyd_status expand(const char *pattern, glob_t *found, int *result)
{
    *found = (glob_t){.gl_opendir = open_folder,
                      .gl_readdir = read_folder,
                      .gl_closedir = close_folder,
                      .gl_lstat = look_at,
                      .gl_stat = look_behind};
    pthread_mutex_lock(&globbing);
    unseen.error = 0;
    unseen.path = NULL;
    *result = glob(pattern, GLOB_NOSORT | GLOB_BRACE | GLOB_ALTDIRFUNC, NULL, found);
    lloyd_status status = LLOYD_OK;
    if (*result == GLOB_NOSPACE || (unseen.error && !unseen.path)) {
        status = no_memory();
    } else if (unseen.error) {
        status =
            lloyd_fail(LLOYD_BAD_INPUT,
                       "cannot tell all files that match %s: %s: %s; make it readable, or give "
                       "a pattern that leaves it out",
                       pattern, unseen.path, strerror(unseen.error));
    }
    free(unseen.path);
    pthread_mutex_unlock(&globbing);
    return status;
}

/* Appends the matches of a pattern, in an order that no locale changes; *matches = their number. */
static lloyd_status append_matches(lloyd_input_list *list, const char *pattern, const char *dataset,
                                   size_t *matches)
{
    *matches = 0;
    if (!strpbrk(pattern, "*?[{")) return LLOYD_OK;
    glob_t found;
    int result;
    lloyd_status status = expand(pattern, &found, &result);
    if (status == LLOYD_OK && result == 0) {
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

/* Appends the files of a name or a pattern, which must match. */
static lloyd_status append_files(lloyd_input_list *list, const char *path, const char *dataset)
{
    size_t matches;
    LLOYD_TRY(append_existing(list, path, dataset, &matches));
    if (matches > 0) return LLOYD_OK;
    if (strpbrk(path, "*?[{")) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "no file matches the pattern %s; check the directory and the pattern",
                          path);
    }
    return append(list, path, dataset); /* opening it will say that it is not there */
}

lloyd_status lloyd_input_expand(const char *input, const lloyd_input_form *form,
                                lloyd_input_list *list)
{
    size_t matches;
    if (form->dataset || form->headerless.columns > 0)
        return append_files(list, input, form->dataset);
    LLOYD_TRY(append_existing(list, input, NULL, &matches));
    if (matches > 0) return LLOYD_OK;
    const char *colon = strrchr(input, ':');
    if (colon && colon > input && colon[1] == '\0') {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot open %s: no dataset is named after the ':'; write FILE or FILE:DATASET", input);
    }
    if (!colon || colon == input) return append_files(list, input, NULL);
    char *path = strndup(input, (size_t)(colon - input));
    if (!path) return no_memory();
    lloyd_status status = append_files(list, path, colon + 1);
    free(path);
    return status;
}

lloyd_status lloyd_input_files(const char *input, lloyd_input_list *list)
{
    return append_files(list, input, NULL);
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
