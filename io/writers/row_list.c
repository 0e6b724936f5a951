/* See row_list.h. */
#include "io/writers/row_list.h"

#include "base/memory.h"
#include "io/space.h"
#include "io/writers/array.h"
#include "io/writers/npy.h"
#include "io/writers/origin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 16 }; /* numbers that are written together */

/* ---- Names ---------------------------------------------------------------------------------- */

static int ends_with(const char *text, size_t length, const char *ending)
{
    const size_t size = strlen(ending);
    return length > size && memcmp(text + length - size, ending, size) == 0;
}

static int is_hdf5(const char *text, size_t length)
{
    return ends_with(text, length, ".h5") || ends_with(text, length, ".hdf5");
}

lloyd_status lloyd_row_list_name(const char *output, lloyd_row_list *list)
{
    const size_t length = strlen(output);
    const char *colon = strrchr(output, ':');
    int failed = 0;
    *list = (lloyd_row_list){.file = NULL};
    if (ends_with(output, length, ".npy")) {
        list->file = strdup(output);
    } else if (is_hdf5(output, length)) {
        list->file = strdup(output);
        list->dataset = strdup("/rows");
        failed = !list->dataset;
    } else if (colon && output[length - 1] != '/' && colon[1] &&
               is_hdf5(output, (size_t)(colon - output))) {
        list->file = strndup(output, (size_t)(colon - output));
        failed = asprintf(&list->dataset, "%s%s", colon[1] == '/' ? "" : "/", colon + 1) < 0;
        if (failed) list->dataset = NULL;
    } else {
        return lloyd_fail(LLOYD_USAGE,
                          "--output %s: row numbers are written to a .npy file or to HDF5; name it "
                          "ROWS.npy, FILE.h5 or FILE.h5:/DATASET",
                          output);
    }
    if (!failed && list->file) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "cannot write %s: out of memory", output);
}

void lloyd_row_list_free(lloyd_row_list *list)
{
    free(list->file);
    free(list->dataset);
    *list = (lloyd_row_list){.file = NULL};
}

/* ---- Numbers, piece by piece ---------------------------------------------------------------- */

typedef struct numbers {
    const uint64_t *marks;
    int64_t word;  /* that comes next */
    uint64_t left; /* bits of the one before that are still to come */
    int64_t *piece;
} numbers;

/* piece[0 .. count) = the next ones, of which there are so many. */
static void next_numbers(numbers *n, int64_t count)
{
    for (int64_t i = 0; i < count; i++, n->left &= n->left - 1) {
        while (n->left == 0) n->left = n->marks[n->word++];
        n->piece[i] = (n->word - 1) * 64 + __builtin_ctzll(n->left);
    }
}

typedef lloyd_status (*put_piece)(void *to, int64_t first, int64_t count, const int64_t *piece);

static lloyd_status put_all(const uint64_t *marks, int64_t count, put_piece put, void *to)
{
    numbers n = {.marks = marks};
    lloyd_status status = LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&n.piece, PIECE, sizeof *n.piece, "row numbers to write"));
    for (int64_t at = 0; at < count && status == LLOYD_OK; at += PIECE) {
        const int64_t here = count - at < PIECE ? count - at : PIECE;
        next_numbers(&n, here);
        status = put(to, at, here, n.piece);
    }
    lloyd_free(n.piece);
    return status;
}

/* ---- .npy ----------------------------------------------------------------------------------- */

static lloyd_status put_to_file(void *to, int64_t first, int64_t count, const int64_t *piece)
{
    (void)first;
    fwrite(piece, sizeof *piece, (size_t)count, to); /* an error stays with the file */
    return LLOYD_OK;
}

static lloyd_status write_npy(const lloyd_output *output, const uint64_t *marks, int64_t count)
{
    errno = 0;
    FILE *file = fopen(output->part, "wxe");
    lloyd_status status = LLOYD_OK;
    int failed = !file;
    if (file) {
        lloyd_npy_header_write(file, "<i8", count, 0, LLOYD_NPY_LIST_HEADER);
        status = put_all(marks, count, put_to_file, file);
        failed = fflush(file) != 0 || ferror(file);
    }
    int error = errno;
    if (file && fclose(file) != 0 && !failed) {
        failed = 1;
        error = errno;
    }
    if (status != LLOYD_OK || !failed) return status;
    return lloyd_fail(LLOYD_FAILED,
                      "cannot write %s: %s; check the space and the permissions there",
                      output->path, strerror(error));
}

/* ---- HDF5 ----------------------------------------------------------------------------------- */

static lloyd_status put_to_array(void *to, int64_t first, int64_t count, const int64_t *piece)
{
    return lloyd_array_write(to, first, count, piece);
}

static lloyd_status describe(const lloyd_output *output, const lloyd_row_list_about *about)
{
    size_t bytes = 1;
    char *lines;
    for (int i = 0; i < about->input_count; i++) bytes += strlen(about->inputs[i]) + 1;
    LLOYD_TRY(lloyd_alloc(&lines, (int64_t)bytes, 1, "the list of input files"));
    char *end = lines;
    for (int i = 0; i < about->input_count; i++) {
        if (i > 0) *end++ = '\n';
        end = stpcpy(end, about->inputs[i]);
    }
    lloyd_status status = lloyd_output_attribute(output, "/", "version", about->version);
    if (status == LLOYD_OK) status = lloyd_output_attribute(output, "/", "method", about->method);
    if (status == LLOYD_OK) status = lloyd_output_attribute(output, "/", "inputs", lines);
    lloyd_free(lines);
    return status;
}

static lloyd_status write_hdf5(const lloyd_output *output, const char *dataset,
                               const lloyd_row_list_about *about, const uint64_t *marks,
                               int64_t count)
{
    lloyd_array *array = NULL;
    LLOYD_TRY(lloyd_output_create(output, LLOYD_ORIGIN_SELECTED, count * (int64_t)sizeof(int64_t)));
    LLOYD_TRY(describe(output, about));
    LLOYD_TRY(lloyd_array_create(output, dataset, LLOYD_ARRAY_I64, count, 0));
    LLOYD_TRY(lloyd_array_open(output, dataset, &array));
    lloyd_status status = put_all(marks, count, put_to_array, array);
    lloyd_status closed = lloyd_array_close(array);
    return status == LLOYD_OK ? closed : status;
}

lloyd_status lloyd_row_list_write(const lloyd_output *output, const lloyd_row_list *list,
                                  const lloyd_row_list_about *about, const uint64_t *marks,
                                  int64_t count)
{
    const lloyd_need need = {output->target, count * (int64_t)sizeof(int64_t)};
    LLOYD_TRY(lloyd_space_check(&need, 1));
    lloyd_status status = list->dataset ? write_hdf5(output, list->dataset, about, marks, count)
                                        : write_npy(output, marks, count);
    if (status == LLOYD_OK) status = lloyd_output_commit(output);
    if (status != LLOYD_OK) lloyd_output_discard(output);
    return status;
}
