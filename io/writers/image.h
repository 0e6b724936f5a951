/* A checkpoint file in memory, and how it gets to disk. No call of HDF5: the thread that watches for
 * signals stores an image while another thread may be inside HDF5. */
#ifndef LLOYD_IO_IMAGE_H
#define LLOYD_IO_IMAGE_H

#include "base/status.h"

#include <stdatomic.h>
#include <stdint.h>

/* The bytes of a checkpoint file, made beforehand: they can be written at any moment and by any
 * thread, without HDF5, which another thread may be using. Begins as zeros. */
typedef struct lloyd_saved_image {
    char *bytes;
    int64_t count; /* 0: there is none */
    int64_t room;
    int64_t draft; /* HDF5's file in memory, between draft and adopt */
} lloyd_saved_image;

/* Frees the bytes. */
void lloyd_saved_discard(lloyd_saved_image *image);

/* Writes the image: under another name, synced and renamed, so that `path` is at any time either the
 * old or the new one, whole. By one thread at a time. Once *hurry is not 0, the renaming does not wait
 * for the sync. After a failure (LLOYD_FAILED) `path` is as it was. */
lloyd_status lloyd_saved_store(const char *path, const lloyd_saved_image *image,
                               const atomic_int *hurry);

/* Syncs the file, which may have been stored in a hurry. */
lloyd_status lloyd_saved_sync(const char *path);

/* Tries whether a file can be made beside `path`, so that a fit does not find out after hours.
 * Nothing is left there. LLOYD_FAILED. */
lloyd_status lloyd_saved_check_writable(const char *path);

#endif
