/* One-dimensional datasets of numbers, for reading. Private to io/. */
#ifndef LLOYD_IO_HDF5_LIST_H
#define LLOYD_IO_HDF5_LIST_H

#include "base/status.h"

#include <hdf5.h>
#include <stdint.h>

/* Opens dataset `name` of a file. *count = its length. LLOYD_BAD_INPUT if there is none, or if it is no
 * one-dimensional one of whole numbers. Close with H5Dclose(); on failure *dataset is negative. */
lloyd_status lloyd_h5_list_open(const char *path, hid_t file, const char *name, hid_t *dataset,
                                int64_t *count);

/* The same of floating-point numbers. */
lloyd_status lloyd_h5_reals_open(const char *path, hid_t file, const char *name, hid_t *dataset,
                                 int64_t *count);

/* out[0 .. count) = elements [first, first + count), as `type`. */
lloyd_status lloyd_h5_list_read(const char *path, hid_t dataset, const char *name, hid_t type,
                                int64_t first, int64_t count, void *out);

#endif
