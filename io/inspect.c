/* A look at files of a kind not known beforehand. */
#include "io/inspect.h"

#include "io/hdf5/h5.h"
#include "io/hdf5/list.h"
#include "io/input.h"
#include "io/readers/registry.h"
#include "io/writers/checkpoint.h"

#include <string.h>

/* 1 if the dataset is there, one-dimensional and of integers. */
static int is_labels(hid_t file)
{
    if (H5Lexists(file, "/labels", H5P_DEFAULT) <= 0) return 0;
    hid_t dataset = H5Dopen2(file, "/labels", H5P_DEFAULT);
    if (dataset < 0) return 0;
    hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    int labels = H5Sget_simple_extent_ndims(space) == 1 && H5Tget_class(type) == H5T_INTEGER;
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(dataset);
    return labels;
}

static lloyd_status file_kind(const char *path, lloyd_kind *kind)
{
    hid_t file;
    const lloyd_row_reader *reader;
    LLOYD_TRY(lloyd_reader_find(path, NULL, &reader));
    if (reader != &lloyd_reader_hdf5) return LLOYD_OK; /* rows */
    if (lloyd_saved_is_one(path)) {
        *kind = LLOYD_KIND_CHECKPOINT;
        return LLOYD_OK;
    }
    LLOYD_TRY(lloyd_h5_open_file(path, &file));
    htri_t centroids = H5Lexists(file, "/centroids", H5P_DEFAULT);
    lloyd_status status = LLOYD_OK;
    if (centroids < 0) {
        status =
            lloyd_fail(LLOYD_BAD_INPUT, "cannot read what %s holds; the file may be damaged", path);
    } else if (centroids > 0) {
        *kind = LLOYD_KIND_MODEL;
    } else if (is_labels(file)) {
        lloyd_h5_list list;
        lloyd_h5_list_datasets(file, 2, &list);
        *kind = list.count == 0 ? LLOYD_KIND_LABELS : LLOYD_KIND_ROWS;
        lloyd_h5_list_free(&list);
    }
    H5Fclose(file);
    return status;
}

lloyd_status lloyd_inspect_kind(const char *input, lloyd_kind *kind)
{
    LLOYD_H5_SCOPE;
    *kind = LLOYD_KIND_ROWS;
    const lloyd_input_form form = {0};
    lloyd_input_list list = {0};
    lloyd_status status = lloyd_input_expand(input, &form, &list);
    int one_file = status == LLOYD_OK && list.count == 1 && strcmp(list.items[0].path, input) == 0;
    if (one_file) status = file_kind(input, kind);
    lloyd_input_free(&list);
    return status;
}

lloyd_status lloyd_inspect_labels(const char *path, int64_t first, int64_t count, int64_t *total,
                                  int32_t *labels)
{
    LLOYD_H5_SCOPE;
    hid_t file;
    LLOYD_TRY(lloyd_h5_open_file(path, &file));
    hid_t dataset;
    lloyd_status status = lloyd_h5_list_open(path, file, "/labels", &dataset, total);
    if (status == LLOYD_OK) {
        status =
            lloyd_h5_list_read(path, dataset, "/labels", H5T_NATIVE_INT32, first, count, labels);
        H5Dclose(dataset);
    }
    H5Fclose(file);
    return status;
}

lloyd_status lloyd_inspect_distances(const char *path, int64_t first, int64_t count, int64_t *total,
                                     float *distances)
{
    LLOYD_H5_SCOPE;
    hid_t file, dataset;
    LLOYD_TRY(lloyd_h5_open_file(path, &file));
    lloyd_status status = lloyd_h5_reals_open(path, file, "/distances", &dataset, total);
    if (status == LLOYD_OK) {
        status = lloyd_h5_list_read(path, dataset, "/distances", H5T_NATIVE_FLOAT, first, count,
                                    distances);
        H5Dclose(dataset);
    }
    H5Fclose(file);
    return status;
}

lloyd_status lloyd_inspect_row_outputs(const char *path, lloyd_row_outputs *outputs)
{
    LLOYD_H5_SCOPE;
    hid_t file;
    LLOYD_TRY(lloyd_h5_open_file(path, &file));
    *outputs = (lloyd_row_outputs){.labels = H5Lexists(file, "/labels", H5P_DEFAULT) > 0,
                                   .distances = H5Lexists(file, "/distances", H5P_DEFAULT) > 0,
                                   .second = H5Lexists(file, "/second", H5P_DEFAULT) > 0,
                                   .rows = H5Lexists(file, "/rows", H5P_DEFAULT) > 0,
                                   .members = H5Lexists(file, "/members", H5P_DEFAULT) > 0 &&
                                              H5Lexists(file, "/offsets", H5P_DEFAULT) > 0};
    H5Fclose(file);
    return LLOYD_OK;
}
