/* Models. Everything but the labels is small and goes through HDF5; reading asks only for
 * /centroids and takes the rest where it is, so that centroids from anywhere else can be used as
 * a model. */
#include "io/writers/model.h"

#include "base/memory.h"
#include "io/hdf5/attribute.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/sources.h"
#include "io/hdf5/storage.h"
#include "io/writers/origin.h"
#include "io/writers/partial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Writing -------------------------------------------------------------------------------- */

/* The input files, one per line: an attribute that is an array of strings could not hold
 * thousands of them. */
static lloyd_status write_inputs(const char *path, hid_t root, const lloyd_model *model)
{
    size_t bytes = 1;
    for (int i = 0; i < model->input_count; i++) bytes += strlen(model->inputs[i]) + 1;
    char *text;
    LLOYD_TRY(lloyd_alloc(&text, (int64_t)bytes, 1, "the list of input files"));
    char *end = text;
    for (int i = 0; i < model->input_count; i++) {
        size_t length = strlen(model->inputs[i]);
        if (i) *end++ = '\n';
        memcpy(end, model->inputs[i], length);
        end += length;
    }
    lloyd_status status = lloyd_partial_text(path, root, "inputs", text);
    lloyd_free(text);
    return status;
}

/* What models and labels have in common. */
static lloyd_status write_origin(const char *path, hid_t root, const lloyd_model *m)
{
    LLOYD_TRY(lloyd_partial_text(path, root, "version", m->version ? m->version : ""));
    LLOYD_TRY(lloyd_partial_text(path, root, "backend", m->backend ? m->backend : ""));
    LLOYD_TRY(lloyd_partial_text(path, root, "metric", m->cosine ? "cosine" : "l2"));
    LLOYD_TRY(write_inputs(path, root, m));
    LLOYD_TRY(lloyd_partial_number(path, root, "n", H5T_NATIVE_INT64, &m->n));
    LLOYD_TRY(lloyd_partial_number(path, root, "skipped", H5T_NATIVE_INT64, &m->skipped));
    LLOYD_TRY(lloyd_partial_number(path, root, "d", H5T_NATIVE_INT64, &m->d));
    LLOYD_TRY(lloyd_partial_number(path, root, "k", H5T_NATIVE_INT64, &m->k));
    return lloyd_partial_number(path, root, "ranks", H5T_NATIVE_INT, &m->ranks);
}

/* What --max-size has done. */
static lloyd_status write_balance(const char *path, hid_t root, const lloyd_model *m)
{
    if (m->max_size == 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_partial_number(path, root, "max_size", H5T_NATIVE_DOUBLE, &m->max_size));
    LLOYD_TRY(
        lloyd_partial_number(path, root, "largest_allowed", H5T_NATIVE_INT64, &m->largest_allowed));
    LLOYD_TRY(lloyd_partial_number(path, root, "moved_rows", H5T_NATIVE_INT64, &m->moved_rows));
    return lloyd_partial_number(path, root, "inertia_before", H5T_NATIVE_DOUBLE,
                                &m->inertia_before);
}

static lloyd_status write_attributes(const char *path, hid_t root, const lloyd_model *m)
{
    LLOYD_TRY(write_origin(path, root, m));
    if (m->subset && *m->subset) {
        LLOYD_TRY(lloyd_partial_text(path, root, "subset", m->subset));
        LLOYD_TRY(lloyd_partial_number(path, root, "stored", H5T_NATIVE_INT64, &m->stored));
    }
    if (m->parent && *m->parent) {
        LLOYD_TRY(lloyd_partial_text(path, root, "parent", m->parent));
        LLOYD_TRY(lloyd_partial_number(path, root, "parent_k", H5T_NATIVE_INT64, &m->parent_k));
    }
    if (m->distinct > 0)
        LLOYD_TRY(
            lloyd_partial_number(path, root, "distinct_rows", H5T_NATIVE_INT64, &m->distinct));
    LLOYD_TRY(write_balance(path, root, m));
    LLOYD_TRY(lloyd_partial_text(path, root, "command", m->command ? m->command : ""));
    LLOYD_TRY(lloyd_partial_text(path, root, "options", m->options ? m->options : ""));
    LLOYD_TRY(lloyd_partial_number(path, root, "seed", H5T_NATIVE_UINT64, &m->seed));
    LLOYD_TRY(lloyd_partial_number(path, root, "iterations", H5T_NATIVE_INT64, &m->iterations));
    LLOYD_TRY(lloyd_partial_number(path, root, "inertia", H5T_NATIVE_DOUBLE, &m->final_inertia));
    return lloyd_partial_number(path, root, "converged", H5T_NATIVE_INT, &m->converged);
}

static lloyd_status write_datasets(const char *path, hid_t file, const lloyd_model *m)
{
    const hsize_t matrix[2] = {(hsize_t)m->k, (hsize_t)m->d}, steps[1] = {(hsize_t)m->iterations};
    LLOYD_TRY(
        lloyd_partial_dataset(path, file, "/centroids", H5T_NATIVE_FLOAT, 2, matrix, m->centroids));
    LLOYD_TRY(lloyd_partial_dataset(path, file, "/counts", H5T_NATIVE_INT64, 1, matrix, m->counts));
    if (m->parents)
        LLOYD_TRY(
            lloyd_partial_dataset(path, file, "/parents", H5T_NATIVE_INT32, 1, matrix, m->parents));
    hid_t history = H5Gcreate2(file, "/history", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (history < 0) return lloyd_partial_failed(path, "/history");
    H5Gclose(history);
    LLOYD_TRY(lloyd_partial_dataset(path, file, "/history/inertia", H5T_NATIVE_DOUBLE, 1, steps,
                                    m->inertia));
    LLOYD_TRY(
        lloyd_partial_dataset(path, file, "/history/moved", H5T_NATIVE_INT64, 1, steps, m->moved));
    return lloyd_partial_dataset(path, file, "/history/seconds", H5T_NATIVE_DOUBLE, 1, steps,
                                 m->seconds);
}

static lloyd_status write_content(const char *path, hid_t file, const lloyd_model *model)
{
    hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    if (root < 0) return lloyd_partial_failed(path, "attributes");
    lloyd_status status = write_attributes(path, root, model);
    H5Gclose(root);
    return status == LLOYD_OK ? write_datasets(path, file, model) : status;
}

static lloyd_row_shape shape_of_rows(const lloyd_model *m)
{
    return (lloyd_row_shape){.n = m->n, .skipped = m->skipped, .k = m->k, .cosine = m->cosine};
}

int64_t lloyd_model_bytes(const lloyd_model *m, const lloyd_row_outputs *rows,
                          const lloyd_row_shape *shape)
{
    const lloyd_row_shape own = shape_of_rows(m);
    int64_t bytes = m->k * m->d * (int64_t)sizeof(float) + m->k * (int64_t)sizeof(int64_t);
    if (m->parent && *m->parent) bytes += m->k * (int64_t)sizeof(int32_t);
    return bytes + 24 * m->iterations +
           (rows ? lloyd_row_outputs_bytes(rows, shape ? shape : &own) : 0);
}

lloyd_status lloyd_model_write(const lloyd_output *output, const lloyd_model *model,
                               const lloyd_row_outputs *rows, const lloyd_row_shape *shape)
{
    hid_t file;
    const char *path = output->path;
    const lloyd_row_shape own = shape_of_rows(model);
    const int64_t bytes = lloyd_model_bytes(model, rows, shape);
    LLOYD_TRY(lloyd_output_create(output, LLOYD_ORIGIN_MODEL, bytes));
    LLOYD_TRY(lloyd_partial_open(output, &file));
    LLOYD_TRY(lloyd_partial_close(path, file, write_content(path, file, model)));
    return rows ? lloyd_row_outputs_create(output, rows, shape ? shape : &own) : LLOYD_OK;
}

static lloyd_status describe_labels(const char *path, hid_t file, const lloyd_model *about,
                                    const char *model)
{
    hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    if (root < 0) return lloyd_partial_failed(path, "attributes");
    lloyd_status status = write_origin(path, root, about);
    if (status == LLOYD_OK) status = lloyd_partial_text(path, root, "model", model);
    H5Gclose(root);
    return status;
}

lloyd_status lloyd_labels_describe(const lloyd_output *output, const lloyd_model *about,
                                   const char *model)
{
    hid_t file;
    const char *path = output->path;
    LLOYD_TRY(lloyd_partial_open(output, &file));
    return lloyd_partial_close(path, file, describe_labels(path, file, about, model));
}

/* ---- Reading -------------------------------------------------------------------------------- */

static lloyd_status no_memory(const char *path)
{
    return lloyd_fail(LLOYD_FAILED, "cannot read %s: out of memory", path);
}

static int is_number(hid_t type)
{
    H5T_class_t class = H5Tget_class(type);
    return class == H5T_FLOAT || class == H5T_INTEGER;
}

/* What is there but does not come out: a model without it would be another. */
static lloyd_status unreadable(const char *path, const char *name)
{
    char text[256];
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot read %s of %s: %s; the file may be damaged", name,
                      path, lloyd_h5_reason(text, sizeof text));
}

static lloyd_status read_balance(const char *path, hid_t file, lloyd_model *m)
{
    LLOYD_TRY(lloyd_h5_number(path, file, "max_size", H5T_NATIVE_DOUBLE, &m->max_size));
    LLOYD_TRY(
        lloyd_h5_number(path, file, "largest_allowed", H5T_NATIVE_INT64, &m->largest_allowed));
    LLOYD_TRY(lloyd_h5_number(path, file, "moved_rows", H5T_NATIVE_INT64, &m->moved_rows));
    return lloyd_h5_number(path, file, "inertia_before", H5T_NATIVE_DOUBLE, &m->inertia_before);
}

static lloyd_status read_attributes(const char *path, hid_t file, lloyd_model *m)
{
    char *metric;
    LLOYD_TRY(lloyd_h5_number(path, file, "n", H5T_NATIVE_INT64, &m->n));
    LLOYD_TRY(lloyd_h5_number(path, file, "skipped", H5T_NATIVE_INT64, &m->skipped));
    LLOYD_TRY(lloyd_h5_number(path, file, "seed", H5T_NATIVE_UINT64, &m->seed));
    LLOYD_TRY(lloyd_h5_number(path, file, "inertia", H5T_NATIVE_DOUBLE, &m->final_inertia));
    LLOYD_TRY(lloyd_h5_number(path, file, "converged", H5T_NATIVE_INT, &m->converged));
    LLOYD_TRY(lloyd_h5_number(path, file, "ranks", H5T_NATIVE_INT, &m->ranks));
    LLOYD_TRY(read_balance(path, file, m));
    LLOYD_TRY(lloyd_h5_number(path, file, "stored", H5T_NATIVE_INT64, &m->stored));
    LLOYD_TRY(lloyd_h5_number(path, file, "distinct_rows", H5T_NATIVE_INT64, &m->distinct));
    LLOYD_TRY(lloyd_h5_text(path, file, "subset", &m->subset));
    LLOYD_TRY(lloyd_h5_text(path, file, "parent", &m->parent));
    LLOYD_TRY(lloyd_h5_text(path, file, "version", &m->version));
    LLOYD_TRY(lloyd_h5_text(path, file, "command", &m->command));
    LLOYD_TRY(lloyd_h5_text(path, file, "options", &m->options));
    LLOYD_TRY(lloyd_h5_text(path, file, "backend", &m->backend));
    lloyd_status status = lloyd_h5_text(path, file, "metric", &metric);
    m->cosine = status == LLOYD_OK && strcmp(metric, "cosine") == 0;
    free(metric);
    return status;
}

static lloyd_status read_inputs(const char *path, hid_t file, lloyd_model *m)
{
    char *text, *rest = NULL;
    lloyd_status status = lloyd_h5_text(path, file, "inputs", &text);
    if (status != LLOYD_OK) {
        free(text);
        return status;
    }
    int64_t lines = 1;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    status = lloyd_alloc(&m->inputs, lines, sizeof *m->inputs, "the list of input files");
    for (char *line = strtok_r(text, "\n", &rest); line && status == LLOYD_OK;
         line = strtok_r(NULL, "\n", &rest)) {
        m->inputs[m->input_count] = strdup(line);
        if (!m->inputs[m->input_count++]) status = no_memory(path);
    }
    free(text);
    return status;
}

/* values[count] = the elements of an open dataset as `as`, of 8 bytes, if it is a vector of
 * numbers: of *count if that is not -1. Else *values stays NULL. */
static lloyd_status read_elements(const char *path, const char *name, hid_t dataset, hid_t as,
                                  int64_t *count, void **values)
{
    hsize_t extent[1] = {0};
    int rank = 0;
    LLOYD_TRY(lloyd_h5_shape(dataset, name, 1, &rank, extent));
    hid_t type = H5Dget_type(dataset);
    if (type < 0) return unreadable(path, name);
    int number = is_number(type);
    H5Tclose(type);
    if (rank != 1 || !number || (*count >= 0 && (hsize_t)*count != extent[0])) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(values, (int64_t)extent[0], 8, name));
    *count = (int64_t)extent[0];
    if (H5Dread(dataset, as, H5S_ALL, H5S_ALL, H5P_DEFAULT, *values) >= 0) return LLOYD_OK;
    lloyd_free(*values);
    *values = NULL;
    return unreadable(path, name);
}

/* A one-dimensional dataset of numbers: *data = its elements as `as`, of 8 bytes. *count >= 0:
 * it must have that many; -1: is set. *data stays NULL where there is no such dataset. */
static lloyd_status read_vector(const char *path, hid_t file, const char *name, hid_t as,
                                int64_t *count, void *data)
{
    void *values = NULL;
    memcpy(data, &values, sizeof values);
    htri_t exists = H5Lexists(file, name, H5P_DEFAULT);
    if (exists == 0) return LLOYD_OK;
    hid_t dataset = exists > 0 ? H5Dopen2(file, name, H5P_DEFAULT) : H5I_INVALID_HID;
    if (dataset < 0) return unreadable(path, name);
    lloyd_status status = read_elements(path, name, dataset, as, count, &values);
    memcpy(data, &values, sizeof values);
    H5Dclose(dataset);
    return status;
}

static lloyd_status read_history(const char *path, hid_t file, lloyd_model *m)
{
    int64_t steps = -1;
    htri_t exists = H5Lexists(file, "/history", H5P_DEFAULT);
    if (exists <= 0) return exists < 0 ? unreadable(path, "/history") : LLOYD_OK;
    LLOYD_TRY(read_vector(path, file, "/history/inertia", H5T_NATIVE_DOUBLE, &steps, &m->inertia));
    if (!m->inertia) return LLOYD_OK;
    m->iterations = steps;
    LLOYD_TRY(read_vector(path, file, "/history/moved", H5T_NATIVE_INT64, &steps, &m->moved));
    return read_vector(path, file, "/history/seconds", H5T_NATIVE_DOUBLE, &steps, &m->seconds);
}

static lloyd_status check_finite(const char *path, const lloyd_model *m)
{
    for (int64_t i = 0; i < m->k * m->d; i++) {
        uint32_t bits;
        memcpy(&bits, &m->centroids[i], sizeof bits);
        if ((bits & 0x7f800000U) != 0x7f800000U) continue;
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "model %s has a NaN or infinite element in centroid %lld; it cannot be used", path,
            (long long)(i / m->d));
    }
    return LLOYD_OK;
}

/* The shape of /centroids, an open dataset. */
static lloyd_status read_shape(const char *path, hid_t dataset, int64_t *count, lloyd_model *m)
{
    hsize_t extent[2];
    int rank;
    LLOYD_TRY(lloyd_h5_shape(dataset, path, 2, &rank, extent));
    hid_t type = H5Dget_type(dataset);
    if (type < 0) return unreadable(path, "/centroids");
    int number = is_number(type);
    H5Tclose(type);
    if (rank != 2 || extent[0] == 0 || extent[1] == 0 || !number) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s cannot be used as a model: its /centroids are not a two-dimensional dataset of numbers with "
            "at least one row and column",
            path);
    }
    if (__builtin_mul_overflow(extent[0], extent[1], count)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s cannot be used as a model: its /centroids have more than 2^63 elements", path);
    }
    m->k = (int64_t)extent[0];
    m->d = (int64_t)extent[1];
    return LLOYD_OK;
}

static lloyd_status read_matrix(const char *path, hid_t dataset, lloyd_model *m)
{
    int64_t count = 0;
    LLOYD_TRY(read_shape(path, dataset, &count, m));
    LLOYD_TRY(lloyd_alloc(&m->centroids, count, sizeof *m->centroids, "the centroids of a model"));
    if (H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, m->centroids) < 0)
        return unreadable(path, "/centroids");
    return check_finite(path, m);
}

/* Opens /centroids and looks at its shape. *dataset stays invalid after a failure. */
static lloyd_status find_centroids(const char *path, hid_t file, lloyd_storage *storage,
                                   hid_t *dataset)
{
    *dataset = H5I_INVALID_HID;
    htri_t exists = H5Lexists(file, "/centroids", H5P_DEFAULT);
    if (exists < 0) return unreadable(path, "/centroids");
    if (exists == 0) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s cannot be used as a model: it has no dataset /centroids; a model is what 'lloyd fit' writes",
            path);
    }
    return lloyd_storage_open(file, path, "/centroids", NULL, storage, dataset);
}

static lloyd_status read_centroids(const char *path, hid_t file, lloyd_model *m)
{
    lloyd_storage storage;
    hid_t dataset;
    LLOYD_TRY(find_centroids(path, file, &storage, &dataset));
    lloyd_status status =
        lloyd_sources_require(&storage, file, dataset, path, "/centroids", 0, INT64_MAX);
    H5Dclose(dataset);
    if (status == LLOYD_OK)
        status = lloyd_storage_reopen(file, path, "/centroids", &storage, &dataset);
    lloyd_storage_free(&storage);
    LLOYD_TRY(status);
    status = read_matrix(path, dataset, m);
    H5Dclose(dataset);
    return status;
}

static lloyd_status look_at_centroids(const char *path, hid_t file, lloyd_model *m)
{
    lloyd_storage storage;
    hid_t dataset;
    int64_t count = 0;
    LLOYD_TRY(find_centroids(path, file, &storage, &dataset));
    lloyd_status status = read_shape(path, dataset, &count, m);
    H5Dclose(dataset);
    lloyd_storage_free(&storage);
    return status;
}

static lloyd_status read_content(const char *path, hid_t file, int centroids, lloyd_model *m)
{
    LLOYD_TRY(centroids ? read_centroids(path, file, m) : look_at_centroids(path, file, m));
    LLOYD_TRY(read_vector(path, file, "/counts", H5T_NATIVE_INT64, &m->k, &m->counts));
    LLOYD_TRY(read_history(path, file, m));
    LLOYD_TRY(read_attributes(path, file, m));
    return read_inputs(path, file, m);
}

static lloyd_status read_model(const char *path, int centroids, lloyd_model *model)
{
    memset(model, 0, sizeof *model);
    LLOYD_H5_SCOPE;
    hid_t file;
    LLOYD_TRY(lloyd_h5_open_file(path, &file));
    lloyd_status status = read_content(path, file, centroids, model);
    H5Fclose(file);
    if (status != LLOYD_OK) lloyd_model_free(model);
    return status;
}

lloyd_status lloyd_model_read(const char *path, lloyd_model *model)
{
    return read_model(path, 1, model);
}

lloyd_status lloyd_model_read_about(const char *path, lloyd_model *model)
{
    return read_model(path, 0, model);
}

static lloyd_status read_origin(const char *path, hid_t file, lloyd_model *about, char **model)
{
    LLOYD_TRY(read_attributes(path, file, about));
    LLOYD_TRY(lloyd_h5_number(path, file, "d", H5T_NATIVE_INT64, &about->d));
    LLOYD_TRY(lloyd_h5_number(path, file, "k", H5T_NATIVE_INT64, &about->k));
    LLOYD_TRY(lloyd_h5_text(path, file, "model", model));
    return read_inputs(path, file, about);
}

lloyd_status lloyd_labels_read_about(const char *path, lloyd_model *about, char **model)
{
    *about = (lloyd_model){0};
    *model = NULL;
    LLOYD_H5_SCOPE;
    hid_t file;
    LLOYD_TRY(lloyd_h5_open_file(path, &file));
    lloyd_status status = read_origin(path, file, about, model);
    H5Fclose(file);
    if (status == LLOYD_OK) return LLOYD_OK;
    lloyd_model_free(about);
    free(*model);
    *model = NULL;
    return status;
}

void lloyd_model_free(lloyd_model *model)
{
    lloyd_free(model->centroids);
    lloyd_free(model->counts);
    lloyd_free(model->inertia);
    lloyd_free(model->moved);
    lloyd_free(model->seconds);
    free(model->subset);
    free(model->parent);
    free(model->version);
    free(model->command);
    free(model->options);
    free(model->backend);
    for (int i = 0; i < model->input_count; i++) free(model->inputs[i]);
    lloyd_free(model->inputs);
    memset(model, 0, sizeof *model);
}
