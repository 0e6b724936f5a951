/* See sources.h. */
#include "io/hdf5/sources.h"

#include "io/hdf5/h5.h"
#include "io/hdf5/names.h"

#include <stdlib.h>
#include <string.h>

enum { NESTED = 8 }; /* virtual datasets of virtual datasets, that deep */

/* The box of the virtual dataset that mapping i fills from one source; its rank, or -1 where that
 * is no box. */
static int target_box(hid_t creation, size_t i, hsize_t *size)
{
    hsize_t start[H5S_MAX_RANK] = {0}, stride[H5S_MAX_RANK] = {0}, count[H5S_MAX_RANK] = {0};
    hid_t space = H5Pget_virtual_vspace(creation, i);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, size, NULL);
    H5S_sel_type kind = space < 0 ? H5S_SEL_ERROR : H5Sget_select_type(space);
    if (kind != H5S_SEL_ALL && (kind != H5S_SEL_HYPERSLABS || H5Sis_regular_hyperslab(space) <= 0 ||
                                H5Sget_regular_hyperslab(space, start, stride, count, size) < 0))
        rank = -1;
    for (int d = 0; d < rank && kind == H5S_SEL_HYPERSLABS; d++) {
        if (count[d] == 1 || count[d] == H5S_UNLIMITED) continue; /* without limit: of a series */
        if (stride[d] != size[d]) return H5Sclose(space), -1;
        size[d] *= count[d];
    }
    if (space >= 0) H5Sclose(space);
    return rank;
}

/* Whether a source that is mapped as a whole still has the shape of what it fills: HDF5 takes its
 * elements one after the other, so rows may have been added, but not become longer. */
static int whole_fits(hid_t creation, size_t i, int rank, const hsize_t *extent)
{
    hsize_t size[H5S_MAX_RANK] = {0};
    if (target_box(creation, i, size) != rank || rank < 1)
        return 1; /* HDF5 compares their number */
    for (int d = 1; d < rank; d++)
        if (extent[d] != size[d]) return 0;
    return extent[0] >= size[0];
}

/* Whether the part of a source that mapping i selects lies inside the source. */
static int selection_fits(hid_t creation, size_t i, int rank, const hsize_t *extent)
{
    hsize_t start[H5S_MAX_RANK] = {0}, end[H5S_MAX_RANK] = {0};
    hid_t space = H5Pget_virtual_srcspace(creation, i);
    int fits = 1;
    if (space >= 0 && H5Sget_select_type(space) == H5S_SEL_ALL) {
        fits = whole_fits(creation, i, rank, extent);
    } else if (space >= 0 && H5Sget_select_bounds(space, start, end) >= 0) {
        fits = rank == H5Sget_simple_extent_ndims(space);
        for (int d = 0; fits && d < rank; d++) fits = end[d] == H5S_UNLIMITED || end[d] < extent[d];
    }
    if (space >= 0) H5Sclose(space);
    return fits;
}

/* Checks one source dataset in its open file, with everything it depends on in turn. */
static lloyd_status check_dataset(hid_t creation, size_t i, hid_t file, const char *path,
                                  const char *name, const lloyd_storage *of, hsize_t *extent)
{
    lloyd_storage storage;
    hid_t dataset;
    int rank = 0;
    if (of->depth >= NESTED) {
        return lloyd_fail(LLOYD_BAD_INPUT, "dataset %s of %s is virtual more than %d times over",
                          name, path, NESTED);
    }
    LLOYD_TRY(lloyd_storage_open_source(file, path, name, of, &storage, &dataset));
    lloyd_status status = lloyd_h5_shape(dataset, name, H5S_MAX_RANK, &rank, extent);
    if (status == LLOYD_OK && !selection_fits(creation, i, rank, extent)) {
        status = lloyd_fail(LLOYD_BAD_INPUT,
                            "dataset %s of %s is smaller than what is taken from it, or of another "
                            "shape than when the virtual dataset was made",
                            name, path);
    } else if (status == LLOYD_OK) {
        status = lloyd_storage_check_written(&storage, dataset, path, name);
        if (status == LLOYD_OK)
            status = lloyd_sources_require(&storage, file, dataset, path, name, 0, INT64_MAX);
    }
    H5Dclose(dataset);
    lloyd_storage_free(&storage);
    return status;
}

int lloyd_sources_names(hid_t creation, size_t i, char **source, char **name)
{
    ssize_t a = H5Pget_virtual_filename(creation, i, NULL, 0);
    ssize_t b = H5Pget_virtual_dsetname(creation, i, NULL, 0);
    *source = a >= 0 ? malloc((size_t)a + 1) : NULL;
    *name = b >= 0 ? malloc((size_t)b + 1) : NULL;
    return *source && *name && H5Pget_virtual_filename(creation, i, *source, (size_t)a + 1) >= 0 &&
           H5Pget_virtual_dsetname(creation, i, *name, (size_t)b + 1) >= 0;
}

/* Checks a source in another file. */
static lloyd_status check_file(hid_t creation, size_t i, const char *path, const char *inside,
                               const lloyd_storage *of, hsize_t *extent)
{
    hid_t file;
    LLOYD_TRY(lloyd_h5_open_source(path, &file));
    lloyd_status status = lloyd_watch_file(of->watch, path, lloyd_h5_descriptor(file));
    if (status == LLOYD_OK) status = check_dataset(creation, i, file, path, inside, of, extent);
    H5Fclose(file);
    return status;
}

lloyd_status lloyd_sources_check(hid_t creation, size_t i, hid_t virtual_file, const char *path,
                                 const char *name, const char *source, const char *inside,
                                 lloyd_storage *storage, hsize_t *extent)
{
    hsize_t unused[H5S_MAX_RANK];
    int same = strcmp(source, ".") == 0;
    if (!extent) extent = unused;
    char *found = same ? NULL : lloyd_names_find_source(path, source);
    if (!same && !found) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot read virtual dataset %s of %s: its source file %s is missing; put it back",
            name, path, source);
    }
    lloyd_status status =
        same ? check_dataset(creation, i, virtual_file, path, inside, storage, extent)
             : check_file(creation, i, found, inside, storage, extent);
    free(found);
    if (status == LLOYD_OK) return LLOYD_OK;
    return lloyd_fail(status, "cannot read virtual dataset %s of %s%s%s: %s", name, path,
                      same ? "" : " from its source file ", same ? "" : source, lloyd_message());
}

/* Checks the source of mapping i, unless it is a series, which was checked at the beginning. */
static lloyd_status check_source(hid_t creation, size_t i, hid_t virtual_file, const char *path,
                                 const char *name, lloyd_storage *storage)
{
    char *source, *inside;
    lloyd_status status = LLOYD_OK;
    if (!lloyd_sources_names(creation, i, &source, &inside)) {
        status = lloyd_fail(LLOYD_BAD_INPUT, "cannot read the sources of virtual dataset %s of %s",
                            name, path);
    } else if (!lloyd_names_is_series(source) && !lloyd_names_is_series(inside)) {
        char *file = lloyd_names_source(source, 0), *dataset = lloyd_names_source(inside, 0);
        status =
            file && dataset
                ? lloyd_sources_check(creation, i, virtual_file, path, name, file, dataset, storage,
                                      NULL)
                : lloyd_fail(LLOYD_FAILED, "cannot look at the sources of %s: out of memory", path);
        free(file);
        free(dataset);
    }
    free(source);
    free(inside);
    return status;
}

lloyd_status lloyd_sources_require(lloyd_storage *storage, hid_t file, hid_t dataset,
                                   const char *path, const char *name, int64_t first, int64_t count)
{
    if (storage->layout != H5D_VIRTUAL) return LLOYD_OK;
    hid_t creation = H5I_INVALID_HID;
    lloyd_status status = LLOYD_OK;
    for (int64_t i = 0; i < storage->source_count && status == LLOYD_OK; i++) {
        lloyd_source *source = &storage->sources[i];
        if (source->checked || source->last < first || source->first - first >= count) continue;
        if (creation < 0) creation = H5Dget_create_plist(dataset);
        status = check_source(creation, (size_t)i, file, path, name, storage);
        source->checked = status == LLOYD_OK;
    }
    if (creation >= 0) H5Pclose(creation);
    return status;
}
