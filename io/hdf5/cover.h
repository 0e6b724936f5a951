/* Whether the sources of a virtual dataset provide every element of it. HDF5 takes the extent of
 * a dataset with unlimited mappings from the longest source, and ends it before the first file of a
 * numbered series that is missing; what no source provides it reads as the fill value. Private to
 * io/. */
#ifndef LLOYD_IO_COVER_H
#define LLOYD_IO_COVER_H

#include "base/status.h"
#include "io/hdf5/storage.h"

#include <hdf5.h>

/* A numbered series of sources ("part-%b.h5") may have so many holes in a row, and what follows is
 * still found, and the hole reported. */
enum { LLOYD_HOLES = 100 };

/* Checks a virtual dataset that is open, with the property list of its creation. Sources of
 * mappings that are limited by their sources, or numbered, are opened; others are trusted to be as
 * large as is taken from them, until their rows are read. LLOYD_BAD_INPUT names the first row that
 * is not there, and the source. */
lloyd_status lloyd_cover_check(hid_t file, hid_t dataset, hid_t creation, const char *path,
                               const char *name, lloyd_storage *storage);

#endif
