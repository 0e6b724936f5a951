/* Chunked datasets, decompressed by several threads: HDF5 finds and reads the stored chunks, and
 * the threads inflate them straight into the caller's memory. (HDF5 itself inflates with one
 * thread.) For native types without filters, or with deflate, shuffle or both. Private to io/. */
#ifndef LLOYD_IO_PACKED_H
#define LLOYD_IO_PACKED_H

#include "base/status.h"
#include "base/types.h"
#include "io/hdf5/storage.h"
#include "io/scratch.h"

#include <hdf5.h>
#include <stdint.h>

typedef struct lloyd_packed lloyd_packed;

/* Whether a dataset of a native type is stored like that, in chunks that are not too large. */
int lloyd_packed_suits(hid_t dataset, const lloyd_storage *storage);

/* `dataset` is borrowed and must stay open; `where` is borrowed and for messages. */
lloyd_status lloyd_packed_open(hid_t dataset, lloyd_type type, const char *where, int64_t row_bytes,
                               lloyd_packed **packed);
void lloyd_packed_close(lloyd_packed *packed); /* NULL is allowed */

/* out = rows [first, first+count). The rows of chunks that the range covers only in part are kept
 * for the next read, so that a chunk is unpacked once where rows are read in order. Takes the lock
 * of HDF5 for moments; whoever calls must not have it. */
lloyd_status lloyd_packed_read(lloyd_packed *packed, lloyd_scratch *scratch, int64_t first,
                               int64_t count, char *out);

/* Bytes of a thread's buffer while reading, and of everything else. */
int64_t lloyd_packed_thread_memory(const lloyd_storage *storage);
int64_t lloyd_packed_memory(const lloyd_storage *storage, int64_t row_bytes);

#endif
