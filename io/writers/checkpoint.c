/* See checkpoint.h. */
#include "io/writers/checkpoint.h"

#include "base/memory.h"
#include "io/hdf5/attribute.h"
#include "io/hdf5/h5.h"
#include "io/writers/origin.h"
#include "io/writers/output.h"
#include "io/writers/partial.h"
#include "io/writers/seal.h"
#include "io/writers/sealed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Writing -------------------------------------------------------------------------------- */

/* The arrays of a run: its centroids at `centroids`, its history in the new group `history`. */
static lloyd_status write_run(const char *path, hid_t file, const lloyd_saved *s,
                              const lloyd_saved_run *run, const char *centroids,
                              const char *history)
{
    const hsize_t matrix[2] = {(hsize_t)s->k, (hsize_t)s->d}, steps[1] = {(hsize_t)run->iterations};
    char name[64];
    hid_t group = H5Gcreate2(file, history, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0) return lloyd_partial_failed(path, history);
    H5Gclose(group);
    if (run->centroids)
        LLOYD_TRY(lloyd_partial_dataset(path, file, centroids, H5T_NATIVE_FLOAT, 2, matrix,
                                        run->centroids));
    snprintf(name, sizeof name, "%s/inertia", history);
    LLOYD_TRY(lloyd_partial_dataset(path, file, name, H5T_NATIVE_DOUBLE, 1, steps, run->inertia));
    snprintf(name, sizeof name, "%s/moved", history);
    LLOYD_TRY(lloyd_partial_dataset(path, file, name, H5T_NATIVE_INT64, 1, steps, run->moved));
    snprintf(name, sizeof name, "%s/seconds", history);
    return lloyd_partial_dataset(path, file, name, H5T_NATIVE_DOUBLE, 1, steps, run->seconds);
}

static lloyd_status write_best(const char *path, hid_t file, hid_t root, const lloyd_saved *s)
{
    if (!s->best.centroids) return LLOYD_OK;
    hid_t group = H5Gcreate2(file, "/best", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0) return lloyd_partial_failed(path, "/best");
    H5Gclose(group);
    LLOYD_TRY(write_run(path, file, s, &s->best, "/best/centroids", "/best/history"));
    LLOYD_TRY(
        lloyd_partial_number(path, root, "best_inertia", H5T_NATIVE_DOUBLE, &s->best_inertia));
    LLOYD_TRY(
        lloyd_partial_number(path, root, "best_converged", H5T_NATIVE_INT, &s->best_converged));
    return lloyd_partial_number(path, root, "best_iterations", H5T_NATIVE_INT64,
                                &s->best.iterations);
}

/* The rows of a seeding that is not finished. */
static lloyd_status write_rows(const char *path, hid_t file, hid_t root, const lloyd_saved *s)
{
    const hsize_t extent[1] = {(hsize_t)s->drawn};
    if (s->drawn == 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_partial_dataset(path, file, "/seeds", H5T_NATIVE_INT64, 1, extent, s->rows));
    LLOYD_TRY(lloyd_partial_number(path, root, "seeds", H5T_NATIVE_INT64, &s->drawn));
    return lloyd_partial_number(path, root, "seed_steps", H5T_NATIVE_INT64, &s->steps);
}

static lloyd_status write_attributes(const char *path, hid_t root, const lloyd_saved *s)
{
    LLOYD_TRY(lloyd_sealed_mark(path, root));
    LLOYD_TRY(lloyd_partial_text(path, root, "version", s->version));
    LLOYD_TRY(lloyd_partial_text(path, root, "command", s->command));
    LLOYD_TRY(lloyd_partial_text(path, root, "options", s->options));
    LLOYD_TRY(lloyd_partial_text(path, root, "inputs", s->inputs));
    LLOYD_TRY(lloyd_partial_text(path, root, "type", s->type));
    LLOYD_TRY(lloyd_partial_number(path, root, "n", H5T_NATIVE_INT64, &s->n));
    LLOYD_TRY(lloyd_partial_number(path, root, "d", H5T_NATIVE_INT64, &s->d));
    LLOYD_TRY(lloyd_partial_number(path, root, "k", H5T_NATIVE_INT64, &s->k));
    LLOYD_TRY(lloyd_partial_number(path, root, "data", H5T_NATIVE_UINT64, &s->data));
    LLOYD_TRY(lloyd_partial_number(path, root, "max_iters", H5T_NATIVE_INT64, &s->max_iters));
    LLOYD_TRY(lloyd_partial_number(path, root, "restart", H5T_NATIVE_INT64, &s->restart));
    LLOYD_TRY(lloyd_partial_number(path, root, "iterations", H5T_NATIVE_INT64, &s->run.iterations));
    LLOYD_TRY(lloyd_partial_number(path, root, "known", H5T_NATIVE_INT, &s->known));
    LLOYD_TRY(lloyd_partial_number(path, root, "moved", H5T_NATIVE_INT64, &s->moved));
    return lloyd_partial_number(path, root, "inertia", H5T_NATIVE_DOUBLE, &s->inertia);
}

static lloyd_status write_content(const char *path, hid_t file, const lloyd_saved *s)
{
    hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    if (root < 0) return lloyd_partial_failed(path, "attributes");
    lloyd_status status = write_attributes(path, root, s);
    if (status == LLOYD_OK) status = write_best(path, file, root, s);
    if (status == LLOYD_OK) status = write_rows(path, file, root, s);
    H5Gclose(root);
    return status == LLOYD_OK ? write_run(path, file, s, &s->run, "/centroids", "/history")
                              : status;
}

/* ---- In memory ------------------------------------------------------------------------------- */

lloyd_status lloyd_saved_draft(const char *path, const lloyd_saved *saved, lloyd_saved_image *image)
{
    hid_t file;
    LLOYD_TRY(lloyd_sealed_create(path, &file));
    return lloyd_sealed_draft(path, file, write_content(path, file, saved), image);
}

lloyd_status lloyd_saved_adopt(const char *path, lloyd_saved_image *image)
{
    return lloyd_sealed_adopt(path, image);
}

lloyd_status lloyd_saved_write(const char *path, const lloyd_saved *saved)
{
    static const atomic_int no_hurry;
    lloyd_saved_image image = {0};
    lloyd_status status = lloyd_saved_draft(path, saved, &image);
    if (status == LLOYD_OK) status = lloyd_saved_adopt(path, &image);
    if (status == LLOYD_OK) status = lloyd_saved_store(path, &image, &no_hurry);
    lloyd_saved_discard(&image);
    return status;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static lloyd_status read_run(const lloyd_sealed *from, const lloyd_saved *s, lloyd_saved_run *run,
                             const char *centroids, const char *history)
{
    const int64_t matrix[2] = {s->k, s->d}, steps[1] = {run->iterations};
    char name[64];
    if (run->iterations < 0 || run->iterations > from->bytes / 8)
        return lloyd_seal_damaged(from->path, history);
    snprintf(name, sizeof name, "%s/inertia", history);
    LLOYD_TRY(lloyd_sealed_array(from, name, H5T_NATIVE_DOUBLE, 1, steps, &run->inertia));
    snprintf(name, sizeof name, "%s/moved", history);
    LLOYD_TRY(lloyd_sealed_array(from, name, H5T_NATIVE_INT64, 1, steps, &run->moved));
    snprintf(name, sizeof name, "%s/seconds", history);
    LLOYD_TRY(lloyd_sealed_array(from, name, H5T_NATIVE_DOUBLE, 1, steps, &run->seconds));
    return centroids
               ? lloyd_sealed_array(from, centroids, H5T_NATIVE_FLOAT, 2, matrix, &run->centroids)
               : LLOYD_OK;
}

/* The rows of a seeding that is not finished. */
static lloyd_status read_rows(const lloyd_sealed *from, lloyd_saved *s)
{
    if (s->drawn < 0 || s->drawn > from->bytes / 8 || s->steps < 0 || s->run.iterations != 0)
        return lloyd_seal_damaged(from->path, "/seeds");
    LLOYD_TRY(lloyd_sealed_array(from, "/seeds", H5T_NATIVE_INT64, 1, &s->drawn, &s->rows));
    for (int64_t i = 0; i < s->drawn; i++)
        if (s->rows[i] < 0 || s->rows[i] >= s->n) return lloyd_seal_damaged(from->path, "/seeds");
    return LLOYD_OK;
}

static lloyd_status read_attributes(const lloyd_sealed *from, lloyd_saved *s)
{
    hid_t file = from->file;
    int is_split;
    LLOYD_TRY(lloyd_sealed_is_split(from, &is_split));
    if (is_split)
        return lloyd_fail(
            LLOYD_USAGE, "%s is the checkpoint of a split, not of a fit; give another --checkpoint",
            from->path);
    LLOYD_TRY(lloyd_h5_number(from->path, file, "n", H5T_NATIVE_INT64, &s->n));
    LLOYD_TRY(lloyd_h5_number(from->path, file, "d", H5T_NATIVE_INT64, &s->d));
    LLOYD_TRY(lloyd_h5_number(from->path, file, "k", H5T_NATIVE_INT64, &s->k));
    LLOYD_TRY(lloyd_h5_number(from->path, file, "data", H5T_NATIVE_UINT64, &s->data));
    LLOYD_TRY(lloyd_h5_number(from->path, file, "max_iters", H5T_NATIVE_INT64, &s->max_iters));
    LLOYD_TRY(lloyd_h5_number(from->path, file, "restart", H5T_NATIVE_INT64, &s->restart));
    LLOYD_TRY(
        lloyd_h5_number(from->path, file, "iterations", H5T_NATIVE_INT64, &s->run.iterations));
    LLOYD_TRY(lloyd_h5_number(from->path, file, "known", H5T_NATIVE_INT, &s->known));
    LLOYD_TRY(lloyd_h5_number(from->path, file, "moved", H5T_NATIVE_INT64, &s->moved));
    LLOYD_TRY(lloyd_h5_number(from->path, file, "inertia", H5T_NATIVE_DOUBLE, &s->inertia));
    LLOYD_TRY(
        lloyd_h5_number(from->path, file, "best_inertia", H5T_NATIVE_DOUBLE, &s->best_inertia));
    LLOYD_TRY(
        lloyd_h5_number(from->path, file, "best_converged", H5T_NATIVE_INT, &s->best_converged));
    LLOYD_TRY(lloyd_h5_number(from->path, file, "best_iterations", H5T_NATIVE_INT64,
                              &s->best.iterations));
    LLOYD_TRY(lloyd_h5_number(from->path, file, "seeds", H5T_NATIVE_INT64, &s->drawn));
    LLOYD_TRY(lloyd_h5_number(from->path, file, "seed_steps", H5T_NATIVE_INT64, &s->steps));
    LLOYD_TRY(lloyd_h5_text(from->path, file, "version", &s->version));
    LLOYD_TRY(lloyd_h5_text(from->path, file, "command", &s->command));
    LLOYD_TRY(lloyd_h5_text(from->path, file, "options", &s->options));
    LLOYD_TRY(lloyd_h5_text(from->path, file, "inputs", &s->inputs));
    LLOYD_TRY(lloyd_h5_text(from->path, file, "type", &s->type));
    return LLOYD_OK;
}

static lloyd_status read_content(const lloyd_sealed *from, lloyd_saved *s)
{
    LLOYD_TRY(read_attributes(from, s));
    int64_t most = from->bytes / (int64_t)sizeof(float);
    if (s->k < 1 || s->d < 1 || (s->drawn == 0 && s->k > most / s->d))
        return lloyd_seal_damaged(from->path, "/centroids");
    LLOYD_TRY(read_run(from, s, &s->run, s->drawn == 0 ? "/centroids" : NULL, "/history"));
    if (s->drawn != 0) LLOYD_TRY(read_rows(from, s));
    htri_t has_best = H5Lexists(from->file, "/best", H5P_DEFAULT);
    if (has_best < 0) return lloyd_seal_unreadable(from->path, "/best");
    if (s->restart < 0 || (has_best > 0) != (s->restart > 0))
        return lloyd_seal_damaged(from->path, "/best");
    if (has_best > 0 && s->k > most / s->d) return lloyd_seal_damaged(from->path, "/best");
    return has_best > 0 ? read_run(from, s, &s->best, "/best/centroids", "/best/history")
                        : LLOYD_OK;
}

lloyd_status lloyd_saved_read(const char *path, lloyd_saved *saved)
{
    lloyd_sealed from;
    *saved = (lloyd_saved){0};
    LLOYD_H5_SCOPE;
    LLOYD_TRY(lloyd_sealed_open(path, &from));
    lloyd_status status = read_content(&from, saved);
    H5Fclose(from.file);
    if (status != LLOYD_OK) lloyd_saved_free(saved);
    return status;
}

static void free_run(lloyd_saved_run *run)
{
    lloyd_free(run->inertia);
    lloyd_free(run->moved);
    lloyd_free(run->seconds);
    lloyd_free(run->centroids);
}

void lloyd_saved_free(lloyd_saved *saved)
{
    free_run(&saved->run);
    free_run(&saved->best);
    lloyd_free(saved->rows);
    free(saved->version);
    free(saved->command);
    free(saved->options);
    free(saved->inputs);
    free(saved->type);
    *saved = (lloyd_saved){0};
}

/* ---- A look at a file ------------------------------------------------------------------------ */

int lloyd_saved_is_one(const char *path)
{
    int sealed;
    return lloyd_seal_find(path, &sealed) == LLOYD_OK && sealed;
}

int lloyd_saved_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 || errno != ENOENT;
}

lloyd_status lloyd_saved_check_replaceable(const char *path)
{
    int sealed;
    LLOYD_TRY(lloyd_seal_find(path, &sealed));
    if (sealed) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "%s is there and is no checkpoint; remove it, or choose "
                      "another --checkpoint",
                      path);
}
