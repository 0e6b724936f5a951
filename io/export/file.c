/* See file.h. */
#include "io/export/file.h"

#include "base/memory.h"
#include "io/writers/npy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 8 << 20,
    LEAST_TEXT = 2 /* a digit and what follows it */
};

static const char *const names[] =
    {[LLOYD_EXPORT_NPY] = "npy", [LLOYD_EXPORT_FVECS] = "fvecs", [LLOYD_EXPORT_CSV] = "csv"};

lloyd_status lloyd_export_format_find(const char *name, lloyd_export_format *format)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        *format = (lloyd_export_format)i;
        if (strcmp(name, names[i]) == 0) return LLOYD_OK;
    }
    return lloyd_fail(LLOYD_USAGE, "--format %s: give npy, fvecs or csv", name);
}

/* The format of an array's own file. */
static lloyd_export_format own_format(lloyd_export_format format, const lloyd_export_array *array)
{
    return format == LLOYD_EXPORT_FVECS && !array->matrix ? LLOYD_EXPORT_NPY : format;
}

const char *lloyd_export_ending(lloyd_export_format format, const lloyd_export_array *array)
{
    switch (own_format(format, array)) {
    case LLOYD_EXPORT_NPY: return ".npy";
    case LLOYD_EXPORT_FVECS: return ".fvecs";
    case LLOYD_EXPORT_CSV: return ".csv";
    }
    return "";
}

int64_t lloyd_export_bytes(lloyd_export_format format, const lloyd_export_source *s)
{
    const int64_t elements = s->rows * s->columns, size = lloyd_export_size(s->array->type);
    switch (own_format(format, s->array)) {
    case LLOYD_EXPORT_NPY: return LLOYD_NPY_HEADER + elements * size;
    case LLOYD_EXPORT_FVECS: return s->rows * 4 + elements * size;
    case LLOYD_EXPORT_CSV: return elements * LEAST_TEXT;
    }
    return 0;
}

/* ---- Rows ----------------------------------------------------------------------------------- */

static const char *const descr[] = {[LLOYD_EXPORT_F32] = "<f4",
                                    [LLOYD_EXPORT_F64] = "<f8",
                                    [LLOYD_EXPORT_I32] = "<i4",
                                    [LLOYD_EXPORT_I64] = "<i8"};

static void put_fvecs(FILE *file, const lloyd_export_source *s, const char *rows, int64_t count)
{
    const int32_t columns = (int32_t)s->columns;
    const int64_t row_bytes = s->columns * lloyd_export_size(s->array->type);
    for (int64_t i = 0; i < count; i++) {
        fwrite(&columns, sizeof columns, 1, file);
        fwrite(rows + i * row_bytes, 1, (size_t)row_bytes, file);
    }
}

/* So many digits that the number is read back with the same bits. */
static void put_number(FILE *file, lloyd_export_type type, const void *rows, int64_t i)
{
    switch (type) {
    case LLOYD_EXPORT_F32: fprintf(file, "%.9g", (double)((const float *)rows)[i]); break;
    case LLOYD_EXPORT_F64: fprintf(file, "%.17g", ((const double *)rows)[i]); break;
    case LLOYD_EXPORT_I32: fprintf(file, "%ld", (long)((const int32_t *)rows)[i]); break;
    case LLOYD_EXPORT_I64: fprintf(file, "%lld", (long long)((const int64_t *)rows)[i]); break;
    }
}

static void put_csv(FILE *file, const lloyd_export_source *s, const void *rows, int64_t count)
{
    for (int64_t i = 0; i < count * s->columns; i++) {
        put_number(file, s->array->type, rows, i);
        fputc((i + 1) % s->columns == 0 ? '\n' : ',', file);
    }
}

static lloyd_status put_rows(FILE *file, lloyd_export_format format, const lloyd_export_source *s,
                             char *rows, int64_t piece)
{
    const int64_t row_bytes = s->columns * lloyd_export_size(s->array->type);
    for (int64_t at = 0; at < s->rows && !ferror(file); at += piece) {
        const int64_t count = s->rows - at < piece ? s->rows - at : piece;
        LLOYD_TRY(lloyd_export_source_read(s, at, count, rows));
        switch (format) {
        case LLOYD_EXPORT_NPY: fwrite(rows, 1, (size_t)(count * row_bytes), file); break;
        case LLOYD_EXPORT_FVECS: put_fvecs(file, s, rows, count); break;
        case LLOYD_EXPORT_CSV: put_csv(file, s, rows, count); break;
        }
    }
    return LLOYD_OK;
}

/* ---- The file ------------------------------------------------------------------------------- */

static lloyd_status failed(const char *shown)
{
    return lloyd_fail(LLOYD_FAILED,
                      "cannot write %s: %s; check the space and the permissions there", shown,
                      strerror(errno));
}

static lloyd_status put_all(FILE *file, lloyd_export_format format, const lloyd_export_source *s)
{
    const int64_t row_bytes = s->columns * lloyd_export_size(s->array->type);
    int64_t piece = row_bytes < PIECE_BYTES ? PIECE_BYTES / (row_bytes > 0 ? row_bytes : 1) : 1;
    char *rows = NULL;
    if (piece > s->rows) piece = s->rows > 0 ? s->rows : 1;
    LLOYD_TRY(lloyd_alloc(&rows, piece, (size_t)(row_bytes > 0 ? row_bytes : 1), "rows to export"));
    if (format == LLOYD_EXPORT_NPY)
        lloyd_npy_header_write(file, descr[s->array->type], s->rows,
                               s->array->matrix ? s->columns : 0, LLOYD_NPY_HEADER);
    lloyd_status status = put_rows(file, format, s, rows, piece);
    lloyd_free(rows);
    return status;
}

lloyd_status lloyd_export_write(lloyd_export_format format, const lloyd_export_source *source,
                                const char *path, const char *shown)
{
    errno = 0;
    FILE *file = fopen(path, "wxe");
    if (!file) return failed(shown);
    lloyd_status status = put_all(file, own_format(format, source->array), source);
    if (status == LLOYD_OK && (fflush(file) != 0 || ferror(file) || fsync(fileno(file)) != 0))
        status = failed(shown);
    if (fclose(file) != 0 && status == LLOYD_OK) status = failed(shown);
    return status;
}
