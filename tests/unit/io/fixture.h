/* What the tests of io/ have in common: files of every kind with known rows, made in a temporary
 * directory, which is the current one while a test runs, and checks of what is read from them. */
#ifndef LLOYD_TEST_FIXTURE_H
#define LLOYD_TEST_FIXTURE_H

#include "base/types.h"
#include "io/rows.h"
#include "io/writers/array.h"
#include "io/writers/output.h"

#include <hdf5.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A test that begins in an empty directory, with the outputs of out() closed in the end. */
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, close_outputs)

extern char home[4096]; /* the temporary directory */

/* The element of a row and column: exact in every type, no two neighbours equal. */
float sample(int64_t row, int64_t column, int is_unsigned);

/* A floating-point type of that layout. */
hid_t float_type(size_t size, size_t exponent_bits, size_t fraction_bits, size_t bias,
                 H5T_order_t order);

/* The file type of an element type in a byte order. */
hid_t file_type(lloyd_type type, H5T_order_t order);

/* An HDF5 file for writing, which is made if it is not there. */
hid_t open_or_create(const char *path);

/* Writes a dataset of rank 1 to 3 whose element (i, j) is sample(first + i, j). Closes type and
 * creation list. */
void put(const char *path, const char *name, hid_t type, hid_t creation, int rank, int64_t n,
         int64_t d, int64_t first);

/* A list for a dataset in chunks. */
hid_t chunks(int64_t rows, int64_t columns, int deflate);

/* A contiguous one of float32. */
void put_f32(const char *path, const char *name, int64_t n, int64_t d, int64_t first);

/* Writes a file of these bytes. */
void put_bytes(const char *path, const void *data, size_t bytes);

/* The bytes of a file, with a 0 after them; free with free(). */
char *get_bytes(const char *path, size_t *bytes);

/* Element i of an array, as a number. */
float element(lloyd_type type, const void *data, int64_t i);

/* Opens an input that can be opened. */
lloyd_rows *open_one(const char *input);

/* Reads all rows in pieces and compares with sample(); closes the rows. */
void check_rows(lloyd_rows *rows, lloyd_type type, int64_t n, int64_t d, int64_t piece);

/* The call has failed with this status and a message that has these words (up to three). */
void check_failed(lloyd_status got, lloyd_status expected, const char *a, const char *b,
                  const char *c);

/* An input that is refused. */
void bad_input(const char *input, const char *a, const char *b, const char *c);

/* Opens, but reading fails. */
void bad_read(const char *input, const char *a, const char *b, const char *c);

/* Every test begins in an empty directory. */
int enter(void **state);

/* A virtual dataset /v of float32 whose rows [i * each, (i+1) * each) are rows [from, from +
 * each) of dataset x of files[i]. */
void put_virtual(const char *path, int count, const char *const *files, int64_t each, int64_t d,
                 int64_t from, int64_t source_rows);

/* The output of that name, the same as long as the test runs. */
lloyd_output *out(const char *path);

/* One without a partial file. */
lloyd_output *fresh(const char *path);

/* Removes the directory. */
int close_outputs(void **state);

/* Creates and fills an array as several processes would, with rows in blocks of `piece`. */
void put_array(const lloyd_output *output, const char *name, lloyd_array_type type,
               const void *data, int64_t n, int64_t d, int64_t row_bytes, int64_t piece);

/* A new partial file. */
lloyd_output *begun(const char *path);

/* Writes a header and n x d elements of a type and byte order; returns the path. */
const char *put_raw(const char *path, const void *header, size_t header_bytes, lloyd_type type,
                    int wide, int big, int64_t n, int64_t d);

/* The same with rows from number `first` of sample() on. */
void put_raw_at(const char *path, const void *header, size_t header_bytes, lloyd_type type,
                int64_t first, int64_t n, int64_t d);

/* A .fvecs or .bvecs file of such rows. */
void put_vecs(const char *path, lloyd_type type, int64_t first, int64_t n, int64_t d);

/* A .npy header; returns its size. */
size_t npy_header(char *out, int version, const char *text);

#endif
