/* See split_checkpoint.h. */
#include "io/writers/split_checkpoint.h"

#include "base/memory.h"
#include "io/hdf5/attribute.h"
#include "io/hdf5/h5.h"
#include "io/writers/partial.h"
#include "io/writers/seal.h"
#include "io/writers/sealed.h"

#include <stdlib.h>

static const char centroids_name[] = "/subcentroids"; /* it is no model */

/* ---- Writing -------------------------------------------------------------------------------- */

static lloyd_status write_attributes(const char *path, hid_t root, const lloyd_saved_split *s)
{
    const int yes = 1;
    LLOYD_TRY(lloyd_sealed_mark(path, root));
    LLOYD_TRY(lloyd_partial_number(path, root, "split", H5T_NATIVE_INT, &yes));
    LLOYD_TRY(lloyd_partial_text(path, root, "version", s->version));
    LLOYD_TRY(lloyd_partial_text(path, root, "command", s->command));
    LLOYD_TRY(lloyd_partial_text(path, root, "options", s->options));
    LLOYD_TRY(lloyd_partial_text(path, root, "inputs", s->inputs));
    LLOYD_TRY(lloyd_partial_text(path, root, "type", s->type));
    LLOYD_TRY(lloyd_partial_number(path, root, "n", H5T_NATIVE_INT64, &s->n));
    LLOYD_TRY(lloyd_partial_number(path, root, "d", H5T_NATIVE_INT64, &s->d));
    LLOYD_TRY(lloyd_partial_number(path, root, "k", H5T_NATIVE_INT64, &s->k));
    LLOYD_TRY(lloyd_partial_number(path, root, "filled", H5T_NATIVE_INT64, &s->filled));
    LLOYD_TRY(lloyd_partial_number(path, root, "cluster_labels", H5T_NATIVE_UINT64, &s->clusters));
    LLOYD_TRY(lloyd_partial_number(path, root, "data", H5T_NATIVE_UINT64, &s->data));
    LLOYD_TRY(lloyd_partial_number(path, root, "done", H5T_NATIVE_INT64, &s->done));
    return lloyd_partial_number(path, root, "parts", H5T_NATIVE_INT64, &s->parts);
}

static lloyd_status write_pieces(hid_t dataset, hid_t space, const lloyd_saved_split *s,
                                 const lloyd_saved_centroids *from, float *room, int64_t most)
{
    for (int64_t at = 0; at < s->parts; at += most) {
        const int64_t here = s->parts - at < most ? s->parts - at : most;
        const hsize_t start[2] = {(hsize_t)at, 0}, count[2] = {(hsize_t)here, (hsize_t)s->d};
        from->fill(from->context, here, room);
        hid_t memory = H5Screate_simple(2, count, NULL);
        herr_t wrong = memory < 0 ? -1 : 0;
        if (wrong >= 0)
            wrong = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
        if (wrong >= 0)
            wrong = H5Dwrite(dataset, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, room);
        if (memory >= 0) H5Sclose(memory);
        if (wrong < 0) return LLOYD_FAILED;
    }
    return LLOYD_OK;
}

/* The centroids lie apart in memory: piece by piece, without a copy of all. */
static lloyd_status write_centroids(const char *path, hid_t file, const lloyd_saved_split *s,
                                    const lloyd_saved_centroids *from)
{
    enum { BYTES = 1 << 22 };
    const hsize_t extent[2] = {(hsize_t)s->parts, (hsize_t)s->d};
    const int64_t most = BYTES / (s->d * (int64_t)sizeof(float)) + 1;
    float *room = NULL;
    LLOYD_TRY(lloyd_alloc(&room, (s->parts < most ? s->parts : most) * s->d, sizeof *room,
                          "centroids for the checkpoint"));
    hid_t creation = lloyd_partial_creation(), space = H5Screate_simple(2, extent, NULL);
    hid_t dataset = H5Dcreate2(file, centroids_name, H5T_NATIVE_FLOAT, space, H5P_DEFAULT, creation,
                               H5P_DEFAULT);
    lloyd_status status =
        dataset < 0 ? LLOYD_FAILED : write_pieces(dataset, space, s, from, room, most);
    if (status != LLOYD_OK) status = lloyd_partial_failed(path, centroids_name);
    if (dataset >= 0) H5Dclose(dataset);
    if (space >= 0) H5Sclose(space);
    if (creation >= 0) H5Pclose(creation);
    lloyd_free(room);
    return status;
}

static lloyd_status write_content(const char *path, hid_t file, const lloyd_saved_split *s,
                                  const lloyd_saved_centroids *from)
{
    const hsize_t done[1] = {(hsize_t)s->done};
    hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    if (root < 0) return lloyd_partial_failed(path, "attributes");
    lloyd_status status = write_attributes(path, root, s);
    H5Gclose(root);
    LLOYD_TRY(status);
    LLOYD_TRY(
        lloyd_partial_dataset(path, file, "/clusters", H5T_NATIVE_INT64, 1, done, s->cluster));
    LLOYD_TRY(
        lloyd_partial_dataset(path, file, "/inertia", H5T_NATIVE_DOUBLE, 1, done, s->inertia));
    LLOYD_TRY(
        lloyd_partial_dataset(path, file, "/iterations", H5T_NATIVE_INT64, 1, done, s->iterations));
    LLOYD_TRY(
        lloyd_partial_dataset(path, file, "/converged", H5T_NATIVE_INT64, 1, done, s->converged));
    return write_centroids(path, file, s, from);
}

lloyd_status lloyd_saved_split_draw(const char *path, const lloyd_saved_split *saved,
                                    const lloyd_saved_centroids *centroids,
                                    lloyd_saved_image *image)
{
    hid_t file;
    image->count = 0;
    LLOYD_TRY(lloyd_sealed_create(path, &file));
    lloyd_status status = write_content(path, file, saved, centroids);
    LLOYD_TRY(lloyd_sealed_draft(path, file, status, image));
    return lloyd_sealed_adopt(path, image);
}

/* ---- Reading -------------------------------------------------------------------------------- */

static lloyd_status read_attributes(const lloyd_sealed *from, lloyd_saved_split *s)
{
    const char *path = from->path;
    hid_t file = from->file;
    LLOYD_TRY(lloyd_h5_number(path, file, "n", H5T_NATIVE_INT64, &s->n));
    LLOYD_TRY(lloyd_h5_number(path, file, "d", H5T_NATIVE_INT64, &s->d));
    LLOYD_TRY(lloyd_h5_number(path, file, "k", H5T_NATIVE_INT64, &s->k));
    LLOYD_TRY(lloyd_h5_number(path, file, "filled", H5T_NATIVE_INT64, &s->filled));
    LLOYD_TRY(lloyd_h5_number(path, file, "cluster_labels", H5T_NATIVE_UINT64, &s->clusters));
    LLOYD_TRY(lloyd_h5_number(path, file, "data", H5T_NATIVE_UINT64, &s->data));
    LLOYD_TRY(lloyd_h5_number(path, file, "done", H5T_NATIVE_INT64, &s->done));
    LLOYD_TRY(lloyd_h5_number(path, file, "parts", H5T_NATIVE_INT64, &s->parts));
    LLOYD_TRY(lloyd_h5_text(path, file, "version", &s->version));
    LLOYD_TRY(lloyd_h5_text(path, file, "command", &s->command));
    LLOYD_TRY(lloyd_h5_text(path, file, "options", &s->options));
    LLOYD_TRY(lloyd_h5_text(path, file, "inputs", &s->inputs));
    return lloyd_h5_text(path, file, "type", &s->type);
}

static lloyd_status check_clusters(const lloyd_sealed *from, const lloyd_saved_split *s)
{
    for (int64_t i = 0; i < s->done; i++) {
        const int64_t after = i > 0 ? s->cluster[i - 1] : -1;
        if (s->cluster[i] <= after || s->cluster[i] >= s->k)
            return lloyd_seal_damaged(from->path, "/clusters");
    }
    return LLOYD_OK;
}

static lloyd_status read_content(const lloyd_sealed *from, lloyd_saved_split *s)
{
    const int64_t most = from->bytes / (int64_t)sizeof(float);
    int is_split;
    LLOYD_TRY(lloyd_sealed_is_split(from, &is_split));
    if (!is_split)
        return lloyd_fail(
            LLOYD_USAGE, "%s is the checkpoint of a fit, not of a split; give another --checkpoint",
            from->path);
    LLOYD_TRY(read_attributes(from, s));
    if (s->n < 1 || s->d < 1 || s->k < 1 || s->done < 1 || s->done > most / 2)
        return lloyd_seal_damaged(from->path, "/clusters");
    if (s->parts < s->done || s->parts > most / s->d)
        return lloyd_seal_damaged(from->path, centroids_name);
    const int64_t matrix[2] = {s->parts, s->d};
    LLOYD_TRY(lloyd_sealed_array(from, "/clusters", H5T_NATIVE_INT64, 1, &s->done, &s->cluster));
    LLOYD_TRY(lloyd_sealed_array(from, "/inertia", H5T_NATIVE_DOUBLE, 1, &s->done, &s->inertia));
    LLOYD_TRY(
        lloyd_sealed_array(from, "/iterations", H5T_NATIVE_INT64, 1, &s->done, &s->iterations));
    LLOYD_TRY(lloyd_sealed_array(from, "/converged", H5T_NATIVE_INT64, 1, &s->done, &s->converged));
    LLOYD_TRY(check_clusters(from, s));
    return lloyd_sealed_array(from, centroids_name, H5T_NATIVE_FLOAT, 2, matrix, &s->centroids);
}

lloyd_status lloyd_saved_split_read(const char *path, lloyd_saved_split *saved)
{
    lloyd_sealed from;
    *saved = (lloyd_saved_split){0};
    LLOYD_H5_SCOPE;
    LLOYD_TRY(lloyd_sealed_open(path, &from));
    lloyd_status status = read_content(&from, saved);
    H5Fclose(from.file);
    if (status != LLOYD_OK) lloyd_saved_split_free(saved);
    return status;
}

void lloyd_saved_split_free(lloyd_saved_split *saved)
{
    lloyd_free(saved->cluster);
    lloyd_free(saved->inertia);
    lloyd_free(saved->iterations);
    lloyd_free(saved->converged);
    lloyd_free(saved->centroids);
    free(saved->version);
    free(saved->command);
    free(saved->options);
    free(saved->inputs);
    free(saved->type);
    *saved = (lloyd_saved_split){0};
}

lloyd_status lloyd_saved_split_is_one(const char *path, int *is_one)
{
    lloyd_sealed from;
    LLOYD_H5_SCOPE;
    LLOYD_TRY(lloyd_sealed_open(path, &from));
    lloyd_status status = lloyd_sealed_is_split(&from, is_one);
    H5Fclose(from.file);
    return status;
}
