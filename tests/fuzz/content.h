/* HDF5 files of arbitrary content, made of an input's bytes: datasets and attributes of any type, shape
 * and layout. The files themselves are whole. */
#ifndef LLOYD_FUZZ_CONTENT_H
#define LLOYD_FUZZ_CONTENT_H

#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

/* What is left of an input. */
typedef struct bytes {
    const uint8_t *at, *end;
} bytes;

/* The next byte, 0 after the last one. */
unsigned take(bytes *b);

/* The next bytes as content, zeros behind them; free with free(). */
void *content(bytes *b, size_t size);

/* Adds one dataset or attribute of that name, which must not be there yet, or none if HDF5 refuses what
 * the input asks for. */
void add_dataset(bytes *b, hid_t file, const char *name);
void add_attribute(bytes *b, hid_t file, const char *name);

/* Writes the input's bytes into a dataset, if it is small and they can be its elements. */
void write_content(bytes *b, hid_t set);

/* The path of a file, the same for all inputs, and its descriptor. It is removed when the process ends
 * in good order. Also sets HDF5 up for many files (content.c says how). */
const char *fuzz_file(int *descriptor);

/* An access list to make it with. */
hid_t fuzz_access(void);

/* What HDF5 has open. */
hsize_t open_objects(void);

#endif
