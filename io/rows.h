/* Reading: one or more files as one matrix of rows. HDF5, .npy, .fbin and others: docs/formats.md.
 *
 * An input is "FILE" or "FILE:DATASET"; FILE may be a shell glob, whose matches are taken in
 * alphabetical order. Several inputs are one dataset, in the order given. DATASET defaults to the
 * only two-dimensional dataset in an HDF5 file, else /train; files of other formats have none. Files
 * without a header are read as lloyd_input_form says.
 * Every rank opens the same inputs and reads only its own rows, straight into its own buffer. Reads
 * may come from any thread; those of the same lloyd_rows wait for each other.
 *
 * LLOYD_DIRECT_IO=1 in the environment, read by lloyd_rows_open(), bypasses the page cache where
 * rows are read past HDF5.
 */
#ifndef LLOYD_IO_ROWS_H
#define LLOYD_IO_ROWS_H

#include "base/status.h"
#include "base/types.h"
#include "io/input.h"

#include <stdint.h>

typedef struct lloyd_rows lloyd_rows;

/* Opens `count` inputs. All datasets must be two-dimensional, of one element type and one number of
 * columns, with at least one row in all and at least one column. Errors (LLOYD_BAD_INPUT) name the
 * file, the dataset and what to do. Close with lloyd_rows_close(); on failure *rows is NULL. */
lloyd_status lloyd_rows_open(const char *const *inputs, int count, lloyd_rows **rows);

/* The same with what is said of the inputs. Files without a header are refused where their size is no
 * whole number of rows, or where they are of a format that has one. */
lloyd_status lloyd_rows_open_form(const char *const *inputs, int count,
                                  const lloyd_input_form *form, lloyd_rows **rows);
void lloyd_rows_close(lloyd_rows *rows); /* NULL is allowed */

int64_t lloyd_rows_count(
    const lloyd_rows *rows); /* N: rows of all files together, less those left out, or those kept */
int64_t lloyd_rows_dim(const lloyd_rows *rows); /* D */
lloyd_type lloyd_rows_type(const lloyd_rows *rows);
int lloyd_rows_rounded(const lloyd_rows *rows); /* 1: float64 is stored, and rounded by reading */

/* Leaves rows out: pairs (first, count), [2 * count], in order and disjoint. From now on the rows
 * that stay are numbered from 0 to lloyd_rows_count() - 1. At most once. */
lloyd_status lloyd_rows_skip(lloyd_rows *rows, const int64_t *pairs, int64_t count);

/* Keeps only some rows, by their increasing numbers in the dataset; nothing is left out. From now on the
 * rows that are kept are numbered from 0 to total - 1, and this process can read [first, first + count)
 * of them: numbers[0 .. count), which the lloyd_rows takes over and frees with lloyd_free(). NULL: all
 * rows are there again, also those left out. */
void lloyd_rows_keep(lloyd_rows *rows, int64_t *numbers, int64_t first, int64_t count,
                     int64_t total);

/* The rows of all files together, whatever is left out or kept. */
int64_t lloyd_rows_stored(const lloyd_rows *rows);

/* How many rows are left out; the number that a row had before; how many of the `count` rows from
 * it on have no row left out between them. */
int64_t lloyd_rows_skipped(const lloyd_rows *rows);
int64_t lloyd_rows_original(const lloyd_rows *rows, int64_t row);
int64_t lloyd_rows_run(const lloyd_rows *rows, int64_t row, int64_t count);

/* Bytes io/ allocates beside the caller's buffer while reading (largest chunk cache and conversion
 * buffer of any file, buffers of the threads that read). */
int64_t lloyd_rows_memory(const lloyd_rows *rows);

/* out[0 .. count*D) = rows [first, first+count) in the type lloyd_rows_type(), native byte order,
 * row-major. */
lloyd_status lloyd_rows_read(lloyd_rows *rows, int64_t first, int64_t count, void *out);

/* LLOYD_BAD_INPUT, naming the file, if a file that holds some of the rows [first, first+count), or
 * one that it refers to, has changed since it was first opened. Called at the end of every pass;
 * reopening a file compares it too. */
lloyd_status lloyd_rows_check(const lloyd_rows *rows, int64_t first, int64_t count);

/* Names the one-dimensional dataset that holds one weight per row in every input file (float16,
 * float32, float64 or integers, read as float32). Checks its length in every file. */
lloyd_status lloyd_rows_open_weights(lloyd_rows *rows, const char *dataset);

/* out[0 .. count) = the weights of rows [first, first+count). Only after
 * lloyd_rows_open_weights(). */
lloyd_status lloyd_rows_read_weights(lloyd_rows *rows, int64_t first, int64_t count, float *out);

/* Writes "FILE:/DATASET row R" (or "FILE row R") for the global row (R counts from 0 within that
 * file, rows that are left out included) into text. */
void lloyd_rows_where(const lloyd_rows *rows, int64_t row, char *text, size_t bytes);

/* The same of a row by its number in the dataset, whatever is left out or kept. */
void lloyd_rows_where_stored(const lloyd_rows *rows, int64_t row, char *text, size_t bytes);

/* The files, after glob expansion. */
int lloyd_rows_files(const lloyd_rows *rows);
const char *lloyd_rows_file(const lloyd_rows *rows, int index);

/* The dataset of a file that holds its rows, and the one that holds their weights; NULL: none. */
const char *lloyd_rows_dataset(const lloyd_rows *rows, int index);
const char *lloyd_rows_weights_dataset(const lloyd_rows *rows, int index);
/* Writes "FILE:/DATASET, R rows x D columns of TYPE, B bytes" of one file, as this process sees it,
 * into text. */
void lloyd_rows_metadata(const lloyd_rows *rows, int index, char *text, size_t bytes);

/* How one file stores its rows, for display. */
typedef struct lloyd_rows_about {
    const char *path;
    const char *dataset; /* or NULL; both owned by the lloyd_rows */
    const char *type;    /* as stored: "float64" where rows are rounded */
    int64_t rows;
    int64_t stored; /* bytes on disk, 0 where HDF5 does not know (virtual datasets) */
    char storage[256];
} lloyd_rows_about;
lloyd_status lloyd_rows_describe(lloyd_rows *rows, int index, lloyd_rows_about *about);

#endif
