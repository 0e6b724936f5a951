/* The seal of a checkpoint. HDF5 leaves the first LLOYD_SEAL bytes of a file, its user block, to
 * whoever makes it. There a line says how many bytes follow and what their hash is. It is checked
 * before HDF5 sees the file: some versions of HDF5 crash on a damaged one. Private to io/. */
#ifndef LLOYD_IO_SEAL_H
#define LLOYD_IO_SEAL_H

#include "base/status.h"

#include <stdint.h>

enum { LLOYD_SEAL = 512 };

/* text[LLOYD_SEAL] = the seal of a file in memory, of which the first LLOYD_SEAL bytes are the
 * seal's. */
void lloyd_seal_make(const char *bytes, int64_t count, char *text);

/* *sealed = whether the file begins with a seal. LLOYD_BAD_INPUT if it cannot be read. */
lloyd_status lloyd_seal_find(const char *path, int *sealed);

/* LLOYD_BAD_INPUT unless the file is as it was written. */
lloyd_status lloyd_seal_check(const char *path);

/* LLOYD_BAD_INPUT with a message: the checkpoint is not whole. */
lloyd_status lloyd_seal_damaged(const char *path, const char *what);

/* The same for a checkpoint that cannot be read, and may be whole. */
lloyd_status lloyd_seal_unreadable(const char *path, const char *why);

#endif
