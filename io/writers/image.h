/* A checkpoint file in memory, and writing it to disk without HDF5: the thread that watches for
 * signals writes an image while another thread may be inside HDF5. */
#ifndef LLOYD_IO_IMAGE_H
#define LLOYD_IO_IMAGE_H

#include "base/status.h"

#include <stdatomic.h>
#include <stdint.h>

/* The bytes of a checkpoint file, prepared so that any thread can write them at any moment. Starts
 * as zeros. */
typedef struct lloyd_saved_image {
    char *bytes;
    int64_t count; /* 0: there is none */
    int64_t room;
    int64_t draft; /* HDF5's file in memory, between draft and adopt */
} lloyd_saved_image;

/* Frees the bytes. */
void lloyd_saved_discard(lloyd_saved_image *image);

/* Writes the image: under another name, synced and renamed, so that `path` is at any time either
 * the old or the new one, whole. By one thread at a time. Once *hurry is not 0, the renaming does
 * not wait for the sync. After a failure (LLOYD_FAILED) `path` is as it was. */
lloyd_status lloyd_saved_store(const char *path, const lloyd_saved_image *image,
                               const atomic_int *hurry);

/* Syncs the file, which may have been stored in a hurry. */
lloyd_status lloyd_saved_sync(const char *path);

/* Creates a file beside `path` and removes it again, so that a fit fails at the start if it cannot
 * write its checkpoint. LLOYD_FAILED. */
lloyd_status lloyd_saved_check_writable(const char *path);

#endif
