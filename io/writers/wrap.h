/* An HDF5 file around raw ones. */
#ifndef LLOYD_IO_WRAP_H
#define LLOYD_IO_WRAP_H

#include "base/status.h"
#include "io/writers/output.h"

#include <stdint.h>

/* `lloyd wrap`: an HDF5 file whose dataset /train points into RAW.{fbin,u8bin,i8bin,npy} (external
 * storage, no copy). Checks the header against the file's size. Returns the shape and type for a
 * message. */
lloyd_status lloyd_wrap(const char *raw, const lloyd_output *output, int64_t *rows,
                        int64_t *columns, const char **type);

#endif
