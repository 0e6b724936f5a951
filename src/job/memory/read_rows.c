/* lloyd_read_rows(): from files to the caller's memory. */
#include "lloyd/lloyd.h"

#include "base/memory.h"
#include "base/stop.h"
#include "io/rows.h"
#include "kernels/convert.h"

/* A piece at a time, so that it can be stopped, and little memory is needed for rows as they are stored. */
static lloyd_status read_pieces(lloyd_rows *rows, int64_t first, int64_t count, float *out)
{
    enum { PIECE_BYTES = 16 << 20 };
    const lloyd_type type = lloyd_rows_type(rows);
    const int64_t dim = lloyd_rows_dim(rows), row_bytes = dim * (int64_t)lloyd_type_size(type);
    int64_t piece = row_bytes < PIECE_BYTES ? PIECE_BYTES / row_bytes : 1;
    if (piece > count) piece = count;
    char *stored = NULL;
    if (type != LLOYD_F32) LLOYD_TRY(lloyd_alloc(&stored, piece, (size_t)row_bytes, "rows"));
    lloyd_status status = LLOYD_OK;
    for (int64_t at = 0; at < count && status == LLOYD_OK; at += piece) {
        int64_t here = count - at < piece ? count - at : piece;
        float *to = out + at * dim;
        status = lloyd_stop_check();
        if (status == LLOYD_OK)
            status = lloyd_rows_read(rows, first + at, here, stored ? (void *)stored : to);
        if (status == LLOYD_OK && stored) lloyd_to_float(type, stored, here * dim, to);
    }
    lloyd_free(stored);
    return status;
}

static lloyd_status check_range(const lloyd_rows *rows, int64_t first, int64_t count,
                                const float *out)
{
    int64_t n = lloyd_rows_count(rows);
    if (first >= 0 && count >= 0 && first <= n && count <= n - first && (out || count == 0))
        return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "%lld rows from %lld on cannot be read%s; there are %lld",
                      (long long)count, (long long)first, out ? "" : " to address NULL",
                      (long long)n);
}

static lloyd_status open_rows(const lloyd_read_options *options, lloyd_rows **rows)
{
    lloyd_input_form form;
    if (!options->inputs || options->input_count < 1)
        return lloyd_fail(LLOYD_USAGE, "no files are named; give at least one");
    LLOYD_TRY(lloyd_input_form_make(options->dataset, options->raw, options->dim, &form));
    return lloyd_rows_open_form(options->inputs, options->input_count, &form, rows);
}

lloyd_status lloyd_read_rows(const lloyd_read_options *options, int64_t first, int64_t count,
                             float *out, int64_t *n, int64_t *dim)
{
    lloyd_rows *rows = NULL;
    lloyd_status status = open_rows(options, &rows);
    if (status == LLOYD_OK) status = check_range(rows, first, count, out);
    if (status == LLOYD_OK) status = read_pieces(rows, first, count, out);
    if (status == LLOYD_OK && n) *n = lloyd_rows_count(rows);
    if (status == LLOYD_OK && dim) *dim = lloyd_rows_dim(rows);
    lloyd_rows_close(rows);
    lloyd_stop_clear();
    return status;
}
