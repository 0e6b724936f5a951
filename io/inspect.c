/* A look at files of a kind not known beforehand. */
#include "io/inspect.h"

#include "base/memory.h"
#include "io/hdf5/attribute.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/list.h"
#include "io/input.h"
#include "io/readers/npy_header.h"
#include "io/readers/registry.h"
#include "io/writers/checkpoint.h"
#include "io/writers/origin.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 1 if the dataset is there, one-dimensional and of integers of so many bytes or more. */
static int is_list(hid_t file, const char *name, size_t bytes)
{
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    if (dataset < 0) return 0;
    hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    int list = H5Sget_simple_extent_ndims(space) == 1 && H5Tget_class(type) == H5T_INTEGER &&
               H5Tget_size(type) >= bytes;
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(dataset);
    return list;
}

static int is_labels(hid_t file)
{
    return H5Lexists(file, "/labels", H5P_DEFAULT) > 0 && is_list(file, "/labels", 1);
}

/* Whether a file may hold numbers of rows: what lloyd has written for another purpose has other lists. */
static int may_be_selection(const char *path, hid_t file)
{
    char *origin = NULL;
    int may = lloyd_h5_text(path, file, LLOYD_ORIGIN, &origin) == LLOYD_OK &&
              (*origin == '\0' || strcmp(origin, LLOYD_ORIGIN_SELECTED) == 0);
    free(origin);
    return may;
}

/* name: of a dataset; NULL: the one that lloyd_numbers_open() takes. */
static int is_numbers(const char *path, hid_t file, const char *name)
{
    lloyd_h5_list list;
    if (!may_be_selection(path, file)) return 0;
    if (name) return is_list(file, name, sizeof(int64_t));
    if (H5Lexists(file, "/rows", H5P_DEFAULT) > 0) return is_list(file, "/rows", sizeof(int64_t));
    lloyd_h5_list_datasets(file, 1, &list);
    int numbers = list.count == 1 && is_list(file, list.names[0], sizeof(int64_t));
    lloyd_h5_list_free(&list);
    return numbers;
}

/* Of a file that is neither a model nor a checkpoint: vectors, if there is anything two-dimensional. */
static lloyd_kind kind_of_lists(const char *path, hid_t file)
{
    lloyd_h5_list list;
    lloyd_h5_list_datasets(file, 2, &list);
    int vectors = list.count > 0;
    lloyd_h5_list_free(&list);
    if (vectors) return LLOYD_KIND_ROWS;
    if (is_labels(file)) return LLOYD_KIND_LABELS;
    return is_numbers(path, file, NULL) ? LLOYD_KIND_NUMBERS : LLOYD_KIND_ROWS;
}

/* Numbers where the header says so: what else is wrong is for their reader to say. */
static lloyd_status npy_kind(const char *path, lloyd_kind *kind)
{
    unsigned char *bytes;
    lloyd_npy_header header;
    lloyd_raw_head head = {.descriptor = -1};
    LLOYD_TRY(lloyd_alloc(&bytes, LLOYD_RAW_HEADER, 1, "the header of a file"));
    lloyd_status status = lloyd_raw_open_head(path, bytes, LLOYD_RAW_HEADER, &head);
    if (status == LLOYD_OK) status = lloyd_npy_header_read(&head, &header);
    if (status == LLOYD_OK && header.rank == 1 && strpbrk(header.descr, "iu"))
        *kind = LLOYD_KIND_NUMBERS;
    if (head.descriptor >= 0) close(head.descriptor);
    lloyd_free(bytes);
    return status;
}

static lloyd_status file_kind(const char *path, lloyd_kind *kind)
{
    hid_t file;
    const lloyd_row_reader *reader;
    LLOYD_TRY(lloyd_reader_find(path, NULL, &reader));
    if (reader == &lloyd_reader_npy) return npy_kind(path, kind);
    if (reader != &lloyd_reader_hdf5) return LLOYD_OK;
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
    } else {
        *kind = kind_of_lists(path, file);
    }
    H5Fclose(file);
    return status;
}

static lloyd_status dataset_kind(const char *path, const char *dataset, lloyd_kind *kind)
{
    hid_t file;
    const lloyd_row_reader *reader;
    LLOYD_TRY(lloyd_reader_find(path, NULL, &reader));
    if (reader != &lloyd_reader_hdf5) return LLOYD_OK;
    LLOYD_TRY(lloyd_h5_open_file(path, &file));
    if (is_numbers(path, file, dataset)) *kind = LLOYD_KIND_NUMBERS;
    H5Fclose(file);
    return LLOYD_OK;
}

lloyd_status lloyd_inspect_kind(const char *input, lloyd_kind *kind)
{
    LLOYD_H5_SCOPE;
    *kind = LLOYD_KIND_ROWS;
    const lloyd_input_form form = {0};
    lloyd_input_list list = {0};
    lloyd_status status = lloyd_input_expand(input, &form, &list);
    if (status == LLOYD_OK && list.count == 1) {
        const lloyd_input *one = &list.items[0];
        if (one->dataset)
            status = dataset_kind(one->path, one->dataset, kind);
        else if (strcmp(one->path, input) == 0)
            status = file_kind(input, kind);
    }
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

static lloyd_status read_selection(const char *path, hid_t file, char **method, char **version,
                                   char **inputs)
{
    LLOYD_TRY(lloyd_h5_text(path, file, "method", method));
    LLOYD_TRY(lloyd_h5_text(path, file, "version", version));
    return lloyd_h5_text(path, file, "inputs", inputs);
}

lloyd_status lloyd_inspect_selection(const char *path, char **method, char **version, char **inputs)
{
    LLOYD_H5_SCOPE;
    hid_t file;
    const lloyd_row_reader *reader;
    *method = *version = *inputs = NULL;
    LLOYD_TRY(lloyd_reader_find(path, NULL, &reader));
    if (reader != &lloyd_reader_hdf5) return LLOYD_OK;
    LLOYD_TRY(lloyd_h5_open_file(path, &file));
    lloyd_status status = read_selection(path, file, method, version, inputs);
    H5Fclose(file);
    return status;
}

static lloyd_status find_row_outputs(const char *path, hid_t file, lloyd_row_outputs *outputs)
{
    int offsets;
    LLOYD_TRY(lloyd_h5_exists(path, file, "/labels", &outputs->labels));
    LLOYD_TRY(lloyd_h5_exists(path, file, "/distances", &outputs->distances));
    LLOYD_TRY(lloyd_h5_exists(path, file, "/second", &outputs->second));
    LLOYD_TRY(lloyd_h5_exists(path, file, "/rows", &outputs->rows));
    LLOYD_TRY(lloyd_h5_exists(path, file, "/members", &outputs->members));
    LLOYD_TRY(lloyd_h5_exists(path, file, "/offsets", &offsets));
    outputs->members = outputs->members && offsets;
    return LLOYD_OK;
}

lloyd_status lloyd_inspect_row_outputs(const char *path, lloyd_row_outputs *outputs)
{
    LLOYD_H5_SCOPE;
    hid_t file;
    *outputs = (lloyd_row_outputs){.labels = 0};
    LLOYD_TRY(lloyd_h5_open_file(path, &file));
    lloyd_status status = find_row_outputs(path, file, outputs);
    H5Fclose(file);
    return status;
}
