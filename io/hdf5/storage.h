/* How a dataset lies on disk, and whether all of it is there. HDF5 reads fill values where an
 * external or virtual source is missing or too short, and reports nothing; clustering zeros that
 * nobody wrote would be a wrong result, so it is an error here. Private to io/. */
#ifndef LLOYD_IO_STORAGE_H
#define LLOYD_IO_STORAGE_H

#include "base/status.h"
#include "io/readers/extents.h"
#include "io/watch.h"

#include <hdf5.h>
#include <stdint.h>

/* The rows that one source of a virtual dataset provides. */
typedef struct lloyd_source {
    int64_t first, last;
    int checked;
} lloyd_source;

typedef struct lloyd_storage {
    H5D_layout_t layout;
    int external; /* number of external files */
    lloyd_extent
        *extents; /* [external] the bytes of the dataset, in order; later ones may be empty */
    int beside;   /* 1: external names are relative to the HDF5 file, 0: to the current directory */
    int64_t chunk_rows;    /* rows of a chunk; 0 where not chunked */
    int64_t chunks_across; /* chunks that a row touches */
    int64_t chunk_count, chunk_bytes;
    size_t cache_bytes, cache_slots; /* chunk cache that holds one row of chunks */
    lloyd_source *sources;           /* of a virtual dataset */
    int64_t source_count;
    int depth;          /* of a source: how many virtual datasets it is taken through */
    lloyd_watch *watch; /* of the files that it depends on, borrowed, or NULL */
} lloyd_storage;

/* Opens dataset `name`, finds out how it is stored and checks what is cheap: filters, external
 * files, whether virtual sources leave anything out. `path` is the file's, for messages and names
 * relative to it. The files that it depends on, beside its own, are given to `watch` (borrowed;
 * NULL is allowed). *dataset must be closed by the caller, *storage freed. */
lloyd_status lloyd_storage_open(hid_t file, const char *path, const char *name, lloyd_watch *watch,
                                lloyd_storage *storage, hid_t *dataset);

/* The same for the source of a virtual dataset whose storage is `of`. HDF5 opens sources by itself
 * while it reads, and looks for their external files in the current directory. */
lloyd_status lloyd_storage_open_source(hid_t file, const char *path, const char *name,
                                       const lloyd_storage *of, lloyd_storage *storage,
                                       hid_t *dataset);
void lloyd_storage_free(lloyd_storage *storage);

/* LLOYD_BAD_INPUT where nothing was ever written into an open dataset, and a warning where its last
 * rows were not: what an interrupted writer leaves behind, which would be read as zeros. A fill
 * value that the dataset defines itself is meant, and allowed. */
lloyd_status lloyd_storage_check_written(const lloyd_storage *storage, hid_t dataset,
                                         const char *path, const char *name);

/* Opens the dataset again, for reading rows in order. */
lloyd_status lloyd_storage_reopen(hid_t file, const char *path, const char *name,
                                  const lloyd_storage *storage, hid_t *dataset);

/* Rows to read with one call of HDF5: bounded bytes and chunks (HDF5 keeps a record for each),
 * whole chunks where possible. */
int64_t lloyd_storage_piece(const lloyd_storage *storage, int64_t row_bytes, int64_t first,
                            int64_t count);

/* Bytes HDF5 allocates to read it, estimated from above. */
int64_t lloyd_storage_memory(const lloyd_storage *storage);

/* "chunked 1000 x 128, deflate", for a person; returns text. */
const char *lloyd_storage_text(const lloyd_storage *storage, hid_t dataset, char *text,
                               size_t bytes);

#endif
