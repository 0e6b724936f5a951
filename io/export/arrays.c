/* See arrays.h. The names are those of the programs that read such files (docs/formats.md): of
 * ssl-data-curation `centroids` and `cluster_assignment`, of SemDeDup `dist_to_cent`. */
#include "io/export/arrays.h"

#include "io/hdf5/h5.h"

#include <stdio.h>

static const lloyd_export_array arrays[] = {
    {"/centroids", "centroids", LLOYD_EXPORT_F32, 1},
    {"/counts", "counts", LLOYD_EXPORT_I64, 0},
    {"/labels", "cluster_assignment", LLOYD_EXPORT_I32, 0},
    {"/distances", "dist_to_cent", LLOYD_EXPORT_F32, 0},
    {"/second/labels", "second_assignment", LLOYD_EXPORT_I32, 0},
    {"/second/distances", "dist_to_second", LLOYD_EXPORT_F32, 0},
    {"/members", "members", LLOYD_EXPORT_I64, 0},
    {"/offsets", "offsets", LLOYD_EXPORT_I64, 0},
    {"/parents", "parents", LLOYD_EXPORT_I32, 0},
    {"/rows", "rows", LLOYD_EXPORT_I64, 0},
    {"/history/inertia", "history_inertia", LLOYD_EXPORT_F64, 0},
    {"/history/moved", "history_moved", LLOYD_EXPORT_I64, 0},
    {"/history/seconds", "history_seconds", LLOYD_EXPORT_F64, 0},
};

const lloyd_export_array *lloyd_export_array_at(int index)
{
    return index < (int)(sizeof arrays / sizeof *arrays) ? &arrays[index] : NULL;
}

int64_t lloyd_export_size(lloyd_export_type type)
{
    return type == LLOYD_EXPORT_F32 || type == LLOYD_EXPORT_I32 ? 4 : 8;
}

const char *lloyd_export_type_name(lloyd_export_type type)
{
    switch (type) {
    case LLOYD_EXPORT_F32: return "float32";
    case LLOYD_EXPORT_F64: return "float64";
    case LLOYD_EXPORT_I32: return "int32";
    case LLOYD_EXPORT_I64: return "int64";
    }
    return "";
}

static hid_t native(lloyd_export_type type)
{
    switch (type) {
    case LLOYD_EXPORT_F32: return H5T_NATIVE_FLOAT;
    case LLOYD_EXPORT_F64: return H5T_NATIVE_DOUBLE;
    case LLOYD_EXPORT_I32: return H5T_NATIVE_INT32;
    case LLOYD_EXPORT_I64: return H5T_NATIVE_INT64;
    }
    return H5I_INVALID_HID;
}

/* Whether the dataset is there; a path through a group that is not is none. */
static int is_there(hid_t file, const char *dataset)
{
    char group[32];
    for (const char *c = dataset + 1; *c; c++) {
        if (*c != '/') continue;
        snprintf(group, sizeof group, "%.*s", (int)(c - dataset), dataset);
        if (H5Lexists(file, group, H5P_DEFAULT) <= 0) return 0;
    }
    return H5Lexists(file, dataset, H5P_DEFAULT) > 0;
}

static lloyd_status check(const lloyd_export_source *s, int rank, hsize_t columns)
{
    hid_t type = H5Dget_type(s->id);
    H5T_class_t class = H5Tget_class(type);
    int is_whole = s->array->type == LLOYD_EXPORT_I32 || s->array->type == LLOYD_EXPORT_I64;
    H5Tclose(type);
    if (rank == 1 + s->array->matrix && columns <= INT32_MAX &&
        class == (is_whole ? H5T_INTEGER : H5T_FLOAT))
        return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "cannot export %s:%s: it is not %s of %s, as that of a model is; the file is "
                      "not lloyd's",
                      s->path, s->array->dataset, s->array->matrix ? "a matrix" : "a list",
                      is_whole ? "whole numbers" : "floating-point numbers");
}

lloyd_status lloyd_export_source_open(hid_t file, const char *path, const lloyd_export_array *array,
                                      lloyd_export_source *source)
{
    LLOYD_H5_SCOPE;
    hsize_t extent[2] = {0, 1};
    int rank = 0;
    *source = (lloyd_export_source){.array = array, .path = path, .id = H5I_INVALID_HID};
    if (!is_there(file, array->dataset)) return LLOYD_OK;
    source->id = H5Dopen2(file, array->dataset, H5P_DEFAULT);
    if (source->id < 0) {
        char text[256];
        return lloyd_fail(LLOYD_BAD_INPUT, "cannot export %s:%s: %s; the file may be damaged", path,
                          array->dataset, lloyd_h5_reason(text, sizeof text));
    }
    lloyd_status status = lloyd_h5_shape(source->id, path, 2, &rank, extent);
    if (status == LLOYD_OK) status = check(source, rank, extent[1]);
    source->rows = (int64_t)extent[0];
    source->columns = array->matrix ? (int64_t)extent[1] : 1;
    if (status != LLOYD_OK) lloyd_export_source_close(source);
    return status;
}

void lloyd_export_source_close(lloyd_export_source *source)
{
    LLOYD_H5_SCOPE;
    if (source->id >= 0) H5Dclose(source->id);
    source->id = H5I_INVALID_HID;
}

lloyd_status lloyd_export_source_read(const lloyd_export_source *s, int64_t first, int64_t count,
                                      void *out)
{
    LLOYD_H5_SCOPE;
    hsize_t start[2] = {(hsize_t)first, 0}, size[2] = {(hsize_t)count, (hsize_t)s->columns};
    hid_t stored = H5Dget_space(s->id), memory = H5Screate_simple(1 + s->array->matrix, size, NULL);
    int failed = stored < 0 || memory < 0 ||
                 H5Sselect_hyperslab(stored, H5S_SELECT_SET, start, NULL, size, NULL) < 0 ||
                 H5Dread(s->id, native(s->array->type), memory, stored, H5P_DEFAULT, out) < 0;
    char text[256];
    if (failed) lloyd_h5_reason(text, sizeof text);
    if (stored >= 0) H5Sclose(stored);
    if (memory >= 0) H5Sclose(memory);
    if (!failed) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "cannot read elements %lld to %lld of %s:%s: %s; the file may be damaged or "
                      "the disk failing",
                      (long long)first, (long long)(first + count - 1), s->path, s->array->dataset,
                      text);
}
