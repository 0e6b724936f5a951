/* Rows that lie in a file exactly as they are in memory, read past HDF5: contiguous datasets of a
 * native type, at the offset HDF5 reports, and external files. Several threads read large pieces
 * straight into the caller's memory, which is what fills a page cache or a disk's queue; HDF5 reads
 * with one. Private to io/. */
#ifndef LLOYD_IO_PLAIN_H
#define LLOYD_IO_PLAIN_H

#include "base/status.h"
#include "io/hdf5/storage.h"
#include "io/scratch.h"

#include <hdf5.h>
#include <stdint.h>

/* What is read, for messages; the texts are borrowed. */
typedef struct lloyd_plain_name {
    const char *path, *dataset;
    int64_t row_bytes;
} lloyd_plain_name;

typedef struct lloyd_plain lloyd_plain;

/* Whether the `bytes` of a dataset of a native type lie like that. */
int lloyd_plain_suits(hid_t dataset, const lloyd_storage *storage, int64_t bytes);

/* Opens such a dataset, which may be closed before this is. `storage` is borrowed.
 * unbuffered 1: bypasses the page cache (O_DIRECT) where the file system can. */
lloyd_status lloyd_plain_open(hid_t dataset, const lloyd_storage *storage,
                              const lloyd_plain_name *name, int64_t bytes, int unbuffered,
                              lloyd_plain **plain);
void lloyd_plain_close(lloyd_plain *plain); /* NULL is allowed */

/* out[0 .. bytes) = the dataset's bytes from `first` on. LLOYD_BAD_INPUT if a file is shorter than
 * it was, LLOYD_FAILED if the system cannot read it; the message names the first row it missed. */
lloyd_status lloyd_plain_read(lloyd_plain *plain, lloyd_scratch *scratch, int64_t first,
                              int64_t bytes, char *out);

/* Bytes of a thread's buffer while reading. */
int64_t lloyd_plain_memory(int unbuffered);

#endif
