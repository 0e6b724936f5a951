/* The sources of virtual datasets: whether each is there and as large as what is taken from it.
 * Private to io/. */
#ifndef LLOYD_IO_SOURCES_H
#define LLOYD_IO_SOURCES_H

#include "base/status.h"
#include "io/hdf5/storage.h"

#include <hdf5.h>
#include <stdint.h>

/* Checks that the sources of a virtual dataset that hold rows [first, first+count) are there;
 * each source once. */
lloyd_status lloyd_sources_require(lloyd_storage *storage, hid_t file, hid_t dataset,
                                   const char *path, const char *name, int64_t first,
                                   int64_t count);

/* Checks source `inside` in the file named `source`, of mapping i, with all it depends on in turn,
 * and gives its extents, as many as there may be, unless extent is NULL. */
lloyd_status lloyd_sources_check(hid_t creation, size_t i, hid_t virtual_file, const char *path,
                                 const char *name, const char *source, const char *inside,
                                 lloyd_storage *storage, hsize_t *extent);

/* The names of mapping i, the source's file and dataset, allocated, also after a failure; 0 if they
 * cannot be had. */
int lloyd_sources_names(hid_t creation, size_t i, char **source, char **name);

#endif
