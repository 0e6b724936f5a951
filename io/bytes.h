/* Bytes of a file. Private to io/. */
#ifndef LLOYD_IO_BYTES_H
#define LLOYD_IO_BYTES_H

#include <stddef.h>
#include <sys/types.h>

/* out[0 .. n) = the bytes from `at` on: n is returned, `count` or, at the end of the file, fewer.
 * -1 with errno where they cannot be read. */
ssize_t lloyd_bytes_read(int descriptor, off_t at, void *out, size_t count);

#endif
