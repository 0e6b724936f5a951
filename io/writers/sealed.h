/* HDF5 files behind a seal, as checkpoints are: made in memory, taken as bytes, and read again. What is
 * in them is said in checkpoint.h and split_checkpoint.h. Private to io/. */
#ifndef LLOYD_IO_SEALED_H
#define LLOYD_IO_SEALED_H

#include "base/status.h"
#include "io/writers/image.h"

#include <hdf5.h>
#include <stdint.h>

/* Of the files, and of the numbers in them: another contract is another format. */
enum { LLOYD_SEALED_FORMAT = 2 };

/* A file in memory, with room for the seal. `path` is for messages. Takes the lock of HDF5 and keeps it,
 * unless it fails. */
lloyd_status lloyd_sealed_create(const char *path, hid_t *file);

/* The attributes that all checkpoints have first: the format, and whose file it is. */
lloyd_status lloyd_sealed_mark(const char *path, hid_t root);

/* All is written to the file in memory with this status: it becomes the image's draft. After a failure it
 * is closed, and the lock released. */
lloyd_status lloyd_sealed_draft(const char *path, hid_t file, lloyd_status status,
                                lloyd_saved_image *image);

/* Replaces the bytes of the image by the draft, which is closed, and the lock released. After a failure the
 * image is empty. */
lloyd_status lloyd_sealed_adopt(const char *path, lloyd_saved_image *image);

/* A file that is read, behind a seal that is right. */
typedef struct lloyd_sealed {
    const char *path;
    hid_t file;
    int64_t bytes; /* of the file: nothing in it is larger */
} lloyd_sealed;

/* Inside LLOYD_H5_SCOPE. LLOYD_BAD_INPUT where the file cannot be read, is not as it was written, or of
 * another format. H5Fclose(from->file). */
lloyd_status lloyd_sealed_open(const char *path, lloyd_sealed *from);

/* *data = dataset `name`, which must have this extent, as elements of the native type `type`. Free it also
 * after a failure. */
lloyd_status lloyd_sealed_array(const lloyd_sealed *from, const char *name, hid_t type, int rank,
                                const int64_t *extent, void *data);

/* 1 where it is the checkpoint of a split. */
lloyd_status lloyd_sealed_is_split(const lloyd_sealed *from, int *is_split);

#endif
