/* HDF5 in the partial file that an output is until it is complete. Private to io/. */
#ifndef LLOYD_IO_PARTIAL_H
#define LLOYD_IO_PARTIAL_H

#include "base/status.h"
#include "base/types.h"
#include "io/writers/output.h"

#include <hdf5.h>
#include <stdint.h>

/* Makes the partial file, which must not be there, with an attribute that says what it is
 * (formats.md). Takes the lock of HDF5, which lloyd_partial_close() gives back. */
lloyd_status lloyd_partial_create(const lloyd_output *output, const char *kind, hid_t *file);

/* Opens it for writing; as above. */
lloyd_status lloyd_partial_open(const lloyd_output *output, hid_t *file);

/* Closes it; a failure to write is found here at the latest. `status` is that of the writing so
 * far: it is returned if it is a failure. */
lloyd_status lloyd_partial_close(const char *path, hid_t file, lloyd_status status);

/* LLOYD_FAILED with what HDF5 says about writing `what` into the output `path`. */
lloyd_status lloyd_partial_failed(const char *path, const char *what);

/* A property list for datasets: no times, so that the same content makes the same bytes. Close
 * with H5Pclose(). */
hid_t lloyd_partial_creation(void);

/* Writes a text attribute (variable length, UTF-8) of an object. */
lloyd_status lloyd_partial_text(const char *path, hid_t object, const char *name, const char *text);

/* Writes a number as an attribute of an object. */
lloyd_status lloyd_partial_number(const char *path, hid_t object, const char *name, hid_t type,
                                  const void *value);

/* Writes a whole dataset, of native type `type`. */
lloyd_status lloyd_partial_dataset(const char *path, hid_t file, const char *name, hid_t type,
                                   int rank, const hsize_t *extent, const void *data);

#endif
