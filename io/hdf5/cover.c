/* The elements that the mappings provide are put together as a selection of HDF5's, mapping by
 * mapping, and compared with all elements. A mapping without bounds is given those of its source
 * first. */
#include "io/hdf5/cover.h"

#include "base/memory.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/names.h"
#include "io/hdf5/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANK = 2 };

/* A regular selection. `open`: the dimension in which it has no bounds, -1: none. */
typedef struct hyperslab {
    int rank, open;
    hsize_t start[H5S_MAX_RANK], stride[H5S_MAX_RANK], count[H5S_MAX_RANK], block[H5S_MAX_RANK];
} hyperslab;

/* What is put together. */
typedef struct cover {
    hid_t file, creation;
    const char *path, *name;
    lloyd_storage *storage;
    int rank;
    hsize_t extent[RANK];
    hid_t covered;
} cover;

static lloyd_status unreadable(const cover *c)
{
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read the list of sources of virtual dataset %s of %s; the file may be "
        "damaged",
        c->name, c->path);
}

static int read_hyperslab(hid_t space, hyperslab *s)
{
    s->rank = H5Sget_simple_extent_ndims(space);
    s->open = -1;
    if (s->rank < 1 || H5Sget_select_type(space) != H5S_SEL_HYPERSLABS ||
        H5Sis_regular_hyperslab(space) <= 0 ||
        H5Sget_regular_hyperslab(space, s->start, s->stride, s->count, s->block) < 0)
        return 0;
    for (int d = 0; d < s->rank; d++)
        if (s->count[d] == H5S_UNLIMITED || s->block[d] == H5S_UNLIMITED) s->open = d;
    return 1;
}

/* What the source has in its dimension without bounds, `extent` long. */
static hsize_t slices_of(const hyperslab *s, hsize_t extent)
{
    int d = s->open;
    if (extent <= s->start[d]) return 0;
    hsize_t left = extent - s->start[d];
    if (s->block[d] == H5S_UNLIMITED) return left;
    hsize_t rest = left % s->stride[d];
    return left / s->stride[d] * s->block[d] + (rest < s->block[d] ? rest : s->block[d]);
}

static lloyd_status add(cover *c, const hyperslab *s)
{
    for (int d = 0; d < s->rank; d++)
        if (s->count[d] == 0 || s->block[d] == 0) return LLOYD_OK;
    return H5Sselect_hyperslab(c->covered, H5S_SELECT_OR, s->start, s->stride, s->count, s->block) <
                   0
               ? unreadable(c)
               : LLOYD_OK;
}

/* Adds what the first `slices` of a mapping without bounds are. */
static lloyd_status add_slices(cover *c, const hyperslab *s, hsize_t slices)
{
    hyperslab whole = *s, part = *s;
    int d = s->open;
    if (s->block[d] == H5S_UNLIMITED) {
        whole.block[d] = slices;
        whole.stride[d] = slices > 0 ? slices : 1;
        return add(c, &whole);
    }
    whole.count[d] = slices / s->block[d];
    part.start[d] += whole.count[d] * s->stride[d];
    part.count[d] = 1;
    part.block[d] = slices % s->block[d];
    LLOYD_TRY(add(c, &whole));
    return add(c, &part);
}

/* A selection of many blocks in no order. */
static lloyd_status add_blocks(cover *c, hid_t space)
{
    hssize_t blocks = H5Sget_select_hyper_nblocks(space);
    hsize_t *corners = NULL;
    if (blocks < 0) return unreadable(c);
    LLOYD_TRY(lloyd_alloc(&corners, (int64_t)blocks * 2 * c->rank, sizeof *corners,
                          "the sources of a virtual dataset"));
    lloyd_status status = H5Sget_select_hyper_blocklist(space, 0, (hsize_t)blocks, corners) < 0
                              ? unreadable(c)
                              : LLOYD_OK;
    for (hssize_t b = 0; b < blocks && status == LLOYD_OK; b++) {
        const hsize_t *first = corners + b * 2 * c->rank, *last = first + c->rank;
        hyperslab one = {.rank = c->rank, .open = -1};
        for (int d = 0; d < c->rank; d++) {
            one.start[d] = first[d];
            one.stride[d] = one.block[d] = last[d] - first[d] + 1;
            one.count[d] = 1;
        }
        status = add(c, &one);
    }
    lloyd_free(corners);
    return status;
}

/* A mapping that ends where its source ends. */
static lloyd_status add_limited(cover *c, size_t i, const hyperslab *s, const char *source,
                                const char *inside)
{
    hsize_t extent[H5S_MAX_RANK] = {0};
    hyperslab from;
    LLOYD_TRY(lloyd_sources_check(c->creation, i, c->file, c->path, c->name, source, inside,
                                  c->storage, extent));
    hid_t space = H5Pget_virtual_srcspace(c->creation, i);
    int known = space >= 0 && read_hyperslab(space, &from) && from.open >= 0;
    if (space >= 0) H5Sclose(space);
    return known ? add_slices(c, s, slices_of(&from, extent[from.open])) : unreadable(c);
}

/* A mapping whose blocks come from a series of sources, one each. */
static lloyd_status add_series(cover *c, size_t i, const hyperslab *s, const char *source,
                               const char *inside)
{
    int d = s->open;
    hyperslab one = *s;
    one.count[d] = 1;
    lloyd_status status = LLOYD_OK;
    for (int64_t b = 0; one.start[d] < c->extent[d] && status == LLOYD_OK; b++) {
        char *file = lloyd_names_source(source, b), *dataset = lloyd_names_source(inside, b);
        status = file && dataset
                     ? lloyd_sources_check(c->creation, i, c->file, c->path, c->name, file, dataset,
                                           c->storage, NULL)
                     : lloyd_fail(LLOYD_FAILED, "cannot look at the sources of %s: out of memory",
                                  c->path);
        free(file);
        free(dataset);
        if (status == LLOYD_OK) status = add(c, &one);
        one.start[d] += s->stride[d];
    }
    return status;
}

static lloyd_status add_open(cover *c, size_t i, const hyperslab *s)
{
    char *source, *inside;
    lloyd_status status = LLOYD_OK;
    if (!lloyd_sources_names(c->creation, i, &source, &inside)) {
        status = unreadable(c);
    } else if (lloyd_names_is_series(source) || lloyd_names_is_series(inside)) {
        status = add_series(c, i, s, source, inside);
    } else {
        char *file = lloyd_names_source(source, 0), *dataset = lloyd_names_source(inside, 0);
        status = file && dataset
                     ? add_limited(c, i, s, file, dataset)
                     : lloyd_fail(LLOYD_FAILED, "cannot look at the sources of %s: out of memory",
                                  c->path);
        free(file);
        free(dataset);
    }
    free(source);
    free(inside);
    return status;
}

static lloyd_status add_mapping(cover *c, size_t i)
{
    hyperslab s;
    hid_t space = H5Pget_virtual_vspace(c->creation, i);
    H5S_sel_type kind = space < 0 ? H5S_SEL_ERROR : H5Sget_select_type(space);
    lloyd_status status = LLOYD_OK;
    if (kind == H5S_SEL_ALL) {
        if (H5Sselect_all(c->covered) < 0) status = unreadable(c);
    } else if (kind == H5S_SEL_HYPERSLABS) {
        int regular = read_hyperslab(space, &s);
        if (regular && s.rank != c->rank) {
            status = unreadable(c);
        } else if (!regular) {
            status = add_blocks(c, space);
        } else {
            status = s.open < 0 ? add(c, &s) : add_open(c, i, &s);
        }
    } else if (kind != H5S_SEL_NONE) {
        status = unreadable(c);
    }
    if (space >= 0) H5Sclose(space);
    return status;
}

/* Whether mapping i gives the columns of `missing`, and ends above it. */
static int ends_above(const cover *c, size_t i, const hsize_t *missing)
{
    hsize_t start[H5S_MAX_RANK] = {0}, end[H5S_MAX_RANK] = {0};
    hid_t space = H5Pget_virtual_vspace(c->creation, i);
    int bounded = space >= 0 && H5Sget_select_bounds(space, start, end) >= 0;
    if (space >= 0) H5Sclose(space);
    if (!bounded || start[0] > missing[0] || (end[0] != H5S_UNLIMITED && end[0] >= missing[0]))
        return 0;
    return c->rank < 2 || (start[1] <= missing[1] && end[1] >= missing[1]);
}

/* ", after /x of a.h5, which is too short": the source that gives what is above the hole. */
static void name_source(const cover *c, const hsize_t *missing, char *text, size_t bytes)
{
    *text = '\0';
    for (int64_t i = 0; i < c->storage->source_count; i++) {
        char *source, *inside;
        if (!ends_above(c, (size_t)i, missing)) continue;
        if (lloyd_sources_names(c->creation, (size_t)i, &source, &inside))
            snprintf(text, bytes,
                     "; the source of these columns is dataset %s of %s, which ends before", inside,
                     source);
        free(source);
        free(inside);
    }
}

/* The first element that is missing. */
static lloyd_status explain(const cover *c)
{
    const hsize_t origin[RANK] = {0, 0}, one[RANK] = {1, 1};
    hsize_t first[RANK] = {0, 0}, last[RANK] = {0, 0};
    char source[512], columns[64] = "";
    int found =
        H5Sselect_hyperslab(c->covered, H5S_SELECT_XOR, origin, NULL, one, c->extent) >= 0 &&
        H5Sget_select_bounds(c->covered, first, last) >= 0;
    if (found && c->rank == RANK) {
        hsize_t row[RANK] = {first[0], 0}, size[RANK] = {1, c->extent[1]};
        found = H5Sselect_hyperslab(c->covered, H5S_SELECT_AND, row, NULL, one, size) >= 0 &&
                H5Sget_select_bounds(c->covered, first, last) >= 0;
        snprintf(columns, sizeof columns, ", columns %lld to %lld,", (long long)first[1],
                 (long long)last[1]);
    }
    if (!found) return unreadable(c);
    name_source(c, first, source, sizeof source);
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read virtual dataset %s of %s: row %lld%s is in no source%s; complete "
        "the sources, or make the virtual dataset again",
        c->name, c->path, (long long)first[0], columns, source);
}

static lloyd_status put_together(cover *c)
{
    const hsize_t origin[RANK] = {0, 0}, one[RANK] = {1, 1};
    hsize_t all = c->extent[0] * (c->rank == RANK ? c->extent[1] : 1);
    if (H5Sselect_none(c->covered) < 0) return unreadable(c);
    for (int64_t i = 0; i < c->storage->source_count; i++) LLOYD_TRY(add_mapping(c, (size_t)i));
    if (H5Sselect_hyperslab(c->covered, H5S_SELECT_AND, origin, NULL, one, c->extent) < 0)
        return unreadable(c);
    hssize_t points = H5Sget_select_npoints(c->covered);
    if (points < 0) return unreadable(c);
    return (hsize_t)points == all ? LLOYD_OK : explain(c);
}

lloyd_status lloyd_cover_check(hid_t file, hid_t dataset, hid_t creation, const char *path,
                               const char *name, lloyd_storage *storage)
{
    cover c = {.file = file,
               .creation = creation,
               .path = path,
               .name = name,
               .storage = storage,
               .covered = H5I_INVALID_HID};
    hsize_t elements;
    LLOYD_TRY(lloyd_h5_shape(dataset, name, RANK, &c.rank, c.extent));
    if (c.rank < 1 || c.rank > RANK) return LLOYD_OK; /* no rows, and no weights */
    if (__builtin_mul_overflow(c.extent[0], c.rank == RANK ? c.extent[1] : 1, &elements) ||
        elements == 0)
        return LLOYD_OK;
    c.covered = H5Screate_simple(c.rank, c.extent, NULL);
    if (c.covered < 0) return unreadable(&c);
    lloyd_status status = put_together(&c);
    H5Sclose(c.covered);
    return status;
}
