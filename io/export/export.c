/* See export.h. */
#include "io/export/export.h"

#include "base/json.h"
#include "io/export/arrays.h"
#include "io/export/file.h"
#include "io/export/folder.h"
#include "io/hdf5/attribute.h"
#include "io/hdf5/h5.h"
#include "io/space.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 16 }; /* arrays, and more */

typedef struct exporting {
    const lloyd_export_job *options;
    lloyd_export_format format;
    lloyd_output folder;
    hid_t file;
    char *metric;
    lloyd_export_source sources[MOST];
    int count;
} exporting;

/* ---- What there is -------------------------------------------------------------------------- */

static lloyd_status find_sources(exporting *e)
{
    for (int i = 0; lloyd_export_array_at(i) && e->count < MOST; i++) {
        lloyd_export_source *source = &e->sources[e->count];
        LLOYD_TRY(
            lloyd_export_source_open(e->file, e->options->model, lloyd_export_array_at(i), source));
        if (source->id >= 0) e->count++;
    }
    if (e->count > 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s holds nothing to export: it is neither a model nor labels of lloyd",
                      e->options->model);
}

static lloyd_status check_space(const exporting *e)
{
    lloyd_need needs[MOST];
    for (int i = 0; i < e->count; i++)
        needs[i] = (lloyd_need){e->folder.target, lloyd_export_bytes(e->format, &e->sources[i])};
    return lloyd_space_check(needs, e->count);
}

static lloyd_status open_model(exporting *e)
{
    LLOYD_H5_SCOPE;
    LLOYD_TRY(lloyd_h5_open_file(e->options->model, &e->file));
    return lloyd_h5_text(e->options->model, e->file, "metric", &e->metric);
}

static void close_model(exporting *e)
{
    for (int i = 0; i < e->count; i++) lloyd_export_source_close(&e->sources[i]);
    LLOYD_H5_SCOPE;
    if (e->file >= 0) H5Fclose(e->file);
    free(e->metric);
}

/* ---- What is written ------------------------------------------------------------------------ */

static void describe_array(FILE *out, const exporting *e, int i)
{
    const lloyd_export_source *s = &e->sources[i];
    fprintf(out,
            "%s\n  {\"file\": \"%s%s\", \"dataset\": \"%s\", \"type\": \"%s\", \"shape\": [%lld",
            i > 0 ? "," : "", s->array->name, lloyd_export_ending(e->format, s->array),
            s->array->dataset, lloyd_export_type_name(s->array->type), (long long)s->rows);
    if (s->array->matrix) fprintf(out, ", %lld", (long long)s->columns);
    fprintf(out, "]}");
}

static void describe(FILE *out, const exporting *e)
{
    fprintf(out, LLOYD_EXPORT_MARK ", \"version\": \"%s\", \"model\": ", e->options->version);
    lloyd_json_text(out, e->options->model);
    fprintf(out, ", \"format\": \"%s\", \"metric\": ", e->options->format);
    lloyd_json_text(out, *e->metric ? e->metric : NULL);
    fprintf(out, ", \"arrays\": [");
    for (int i = 0; i < e->count; i++) describe_array(out, e, i);
    fprintf(out, "\n]}\n");
}

static lloyd_status write_about(const exporting *e, const char *path)
{
    FILE *out = fopen(path, "wxe");
    if (out) describe(out, e);
    int failed = !out || fflush(out) != 0 || ferror(out) || fsync(fileno(out)) != 0;
    int error = errno;
    if (out && fclose(out) != 0 && !failed) {
        failed = 1;
        error = errno;
    }
    if (!failed) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED,
                      "cannot write %s/%s: %s; check the space and the permissions there",
                      e->folder.path, LLOYD_EXPORT_ABOUT, strerror(error));
}

/* File i of the export; the last one says what the others are. */
static lloyd_status write_file(const exporting *e, int i)
{
    const lloyd_export_array *array = i < e->count ? e->sources[i].array : NULL;
    const char *name = array ? array->name : LLOYD_EXPORT_ABOUT;
    const char *ending = array ? lloyd_export_ending(e->format, array) : "";
    char *path = NULL, *shown = NULL;
    lloyd_status status = LLOYD_OK;
    if (asprintf(&path, "%s/%s%s", e->folder.part, name, ending) < 0) path = NULL;
    if (asprintf(&shown, "%s/%s%s", e->folder.path, name, ending) < 0) shown = NULL;
    if (!path || !shown)
        status = lloyd_fail(LLOYD_FAILED, "cannot write %s: out of memory", e->folder.path);
    else if (array)
        status = lloyd_export_write(e->format, &e->sources[i], path, shown);
    else
        status = write_about(e, path);
    free(path);
    free(shown);
    return status;
}

static lloyd_status write_folder(const exporting *e)
{
    LLOYD_TRY(lloyd_export_folder_create(&e->folder));
    lloyd_status status = LLOYD_OK;
    for (int i = 0; i <= e->count && status == LLOYD_OK; i++) status = write_file(e, i);
    if (status == LLOYD_OK) status = lloyd_export_folder_commit(&e->folder);
    if (status != LLOYD_OK) lloyd_export_folder_discard(&e->folder);
    return status;
}

static lloyd_status run(exporting *e)
{
    LLOYD_TRY(lloyd_export_format_find(e->options->format, &e->format));
    LLOYD_TRY(open_model(e));
    LLOYD_TRY(find_sources(e));
    LLOYD_TRY(lloyd_export_folder_open(e->options->folder, e->options->force, &e->folder));
    LLOYD_TRY(check_space(e));
    LLOYD_TRY(lloyd_output_tidy(&e->folder));
    return write_folder(e);
}

lloyd_status lloyd_export_run(const lloyd_export_job *options, int *files)
{
    exporting e = {.options = options, .file = H5I_INVALID_HID};
    lloyd_status status = run(&e);
    *files = e.count;
    close_model(&e);
    lloyd_output_close(&e.folder);
    return status;
}
