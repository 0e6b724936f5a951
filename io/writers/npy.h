/* The header of a .npy file, format 1.0. Private to io/. */
#ifndef LLOYD_IO_WRITERS_NPY_H
#define LLOYD_IO_WRITERS_NPY_H

#include <stdint.h>
#include <stdio.h>

/* Bytes of it: as NumPy writes it, and in a list of row numbers, which lloyd knows as its own by these. */
enum { LLOYD_NPY_HEADER = 128, LLOYD_NPY_LIST_HEADER = 192 };

/* Writes it, in so many bytes; the elements follow, row by row. descr: "<i8"; columns: 0: one-dimensional. */
void lloyd_npy_header_write(FILE *file, const char *descr, int64_t rows, int64_t columns,
                            int bytes);

/* Whether a file that begins with text[0 .. count) is a list of row numbers that lloyd has written. */
int lloyd_npy_is_list(const char *text, size_t count);

#endif
