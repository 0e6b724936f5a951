/* See clusters.h. */
#include "io/clusters.h"

#include "base/memory.h"
#include "io/hdf5/attribute.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/list.h"
#include "io/inspect.h"

struct lloyd_list {
    hid_t file, members;
};

/* What the attributes of a model, or of labels, say; 0: nothing. */
typedef struct about {
    int64_t n, skipped, stored, d, k;
} about;

static lloyd_status read_about(const char *path, hid_t file, about *a)
{
    LLOYD_TRY(lloyd_h5_number(path, file, "n", H5T_NATIVE_INT64, &a->n));
    LLOYD_TRY(lloyd_h5_number(path, file, "skipped", H5T_NATIVE_INT64, &a->skipped));
    LLOYD_TRY(lloyd_h5_number(path, file, "stored", H5T_NATIVE_INT64, &a->stored));
    LLOYD_TRY(lloyd_h5_number(path, file, "d", H5T_NATIVE_INT64, &a->d));
    LLOYD_TRY(lloyd_h5_number(path, file, "k", H5T_NATIVE_INT64, &a->k));
    if (a->n > 0 && a->skipped >= 0 && a->d > 0 && a->k > 0) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "%s does not say of how many rows and clusters it is (attributes n, d, k); give "
        "a file of lloyd fit or lloyd predict",
        path);
}

/* ---- Members -------------------------------------------------------------------------------- */

static lloyd_status do_not_fit(const char *path)
{
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "/members and /offsets of %s do not fit each other; the file is damaged",
                      path);
}

static lloyd_status check_offsets(const lloyd_clusters *c)
{
    if (c->offsets[0] != 0 || c->offsets[c->k] != c->count || c->count > c->rows)
        return do_not_fit(c->path);
    for (int64_t k = 0; k < c->k; k++)
        if (c->offsets[k] > c->offsets[k + 1]) return do_not_fit(c->path);
    return LLOYD_OK;
}

static lloyd_status read_offsets(lloyd_clusters *c)
{
    hid_t dataset;
    int64_t count;
    LLOYD_TRY(lloyd_h5_list_open(c->path, c->list->file, "/offsets", &dataset, &count));
    lloyd_status status = count == c->k + 1 ? LLOYD_OK : do_not_fit(c->path);
    if (status == LLOYD_OK)
        status = lloyd_alloc(&c->offsets, count, sizeof *c->offsets, "the offsets of clusters");
    if (status == LLOYD_OK)
        status = lloyd_h5_list_read(c->path, dataset, "/offsets", H5T_NATIVE_INT64, 0, count,
                                    c->offsets);
    H5Dclose(dataset);
    return status == LLOYD_OK ? check_offsets(c) : status;
}

static lloyd_status open_lists(lloyd_clusters *c)
{
    about a = {0};
    LLOYD_TRY(lloyd_h5_open_file(c->path, &c->list->file));
    if (H5Lexists(c->list->file, "/members", H5P_DEFAULT) <= 0 ||
        H5Lexists(c->list->file, "/offsets", H5P_DEFAULT) <= 0)
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "%s has no /members, the rows of each cluster; run the fit, or lloyd "
                          "predict with its model, with --members",
                          c->path);
    LLOYD_TRY(read_about(c->path, c->list->file, &a));
    c->k = a.k;
    c->dim = a.d;
    c->rows = a.stored > 0 ? a.stored : a.n + a.skipped;
    LLOYD_TRY(lloyd_h5_list_open(c->path, c->list->file, "/members", &c->list->members, &c->count));
    return read_offsets(c);
}

lloyd_status lloyd_clusters_open(const char *path, lloyd_clusters *clusters)
{
    LLOYD_H5_SCOPE;
    *clusters = (lloyd_clusters){.path = path};
    LLOYD_TRY(lloyd_alloc(&clusters->list, 1, sizeof *clusters->list, "the list of members"));
    *clusters->list = (struct lloyd_list){H5I_INVALID_HID, H5I_INVALID_HID};
    return open_lists(clusters);
}

void lloyd_clusters_close(lloyd_clusters *clusters)
{
    LLOYD_H5_SCOPE;
    if (clusters->list && clusters->list->members >= 0) H5Dclose(clusters->list->members);
    if (clusters->list && clusters->list->file >= 0) H5Fclose(clusters->list->file);
    lloyd_free(clusters->list);
    lloyd_free(clusters->offsets);
    *clusters = (lloyd_clusters){.path = NULL};
}

lloyd_status lloyd_clusters_read(const lloyd_clusters *c, int64_t first, int64_t count,
                                 int64_t *out)
{
    LLOYD_TRY(lloyd_h5_list_read(c->path, c->list->members, "/members", H5T_NATIVE_INT64, first,
                                 count, out));
    for (int64_t i = 0; i < count; i++)
        if (out[i] < 0 || out[i] >= c->rows)
            return lloyd_fail(
                LLOYD_BAD_INPUT,
                "/members of %s has row %lld at %lld, but there are %lld rows; the file "
                "is damaged",
                c->path, (long long)out[i], (long long)(first + i), (long long)c->rows);
    return LLOYD_OK;
}

/* ---- The next level ------------------------------------------------------------------------- */

static lloyd_status read_clusters(const char *path, int64_t *k)
{
    LLOYD_H5_SCOPE;
    about a = {0};
    hid_t file;
    LLOYD_TRY(lloyd_h5_open_file(path, &file));
    lloyd_status status = read_about(path, file, &a);
    H5Fclose(file);
    *k = a.k;
    return status;
}

static lloyd_status check_labels(const lloyd_parents *p)
{
    for (int64_t i = 0; i < p->count; i++)
        if (p->labels[i] < 0 || p->labels[i] >= p->k)
            return lloyd_fail(
                LLOYD_BAD_INPUT,
                "%s has the label %d for row %lld, which is none of its %lld clusters; "
                "every centroid below must be in one",
                p->path, (int)p->labels[i], (long long)i, (long long)p->k);
    return LLOYD_OK;
}

/* *there = 1 and the clusters, if `below` is of a split of a model with as many clusters. */
static lloyd_status read_split(const char *below, int64_t count, lloyd_parents *p, int *there)
{
    LLOYD_H5_SCOPE;
    hid_t file, dataset;
    int64_t found = 0, k = 0;
    LLOYD_TRY(lloyd_h5_open_file(below, &file));
    lloyd_status status = lloyd_h5_number(below, file, "parent_k", H5T_NATIVE_INT64, &k);
    *there = 0;
    if (status == LLOYD_OK && k == p->k) status = lloyd_h5_exists(below, file, "/parents", there);
    if (*there) {
        status = lloyd_h5_list_open(below, file, "/parents", &dataset, &found);
        const int opened = status == LLOYD_OK;
        *there = found == count;
        if (opened && *there)
            status = lloyd_h5_list_read(below, dataset, "/parents", H5T_NATIVE_INT32, 0, count,
                                        p->labels);
        if (opened) H5Dclose(dataset);
    }
    H5Fclose(file);
    if (*there) p->path = below;
    return status;
}

static lloyd_status read_labels(const char *path, const char *below, int64_t count,
                                lloyd_parents *p)
{
    LLOYD_TRY(lloyd_inspect_labels(path, 0, 0, &p->count, NULL));
    if (p->count == count) return lloyd_inspect_labels(path, 0, count, &p->count, p->labels);
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "%s has labels of %lld rows, but %s has %lld clusters; each file after the first is a fit "
        "of the centroids of the one before it, or the model that this one splits",
        path, (long long)p->count, below, (long long)count);
}

lloyd_status lloyd_parents_read(const char *path, const char *below, int64_t count,
                                lloyd_parents *parents)
{
    int is_split;
    *parents = (lloyd_parents){.path = path};
    LLOYD_TRY(read_clusters(path, &parents->k));
    LLOYD_TRY(lloyd_alloc(&parents->labels, count, sizeof *parents->labels, "labels of centroids"));
    LLOYD_TRY(read_split(below, count, parents, &is_split));
    if (!is_split) LLOYD_TRY(read_labels(path, below, count, parents));
    parents->count = count;
    return check_labels(parents);
}

void lloyd_parents_free(lloyd_parents *parents)
{
    lloyd_free(parents->labels);
    *parents = (lloyd_parents){.path = NULL};
}
