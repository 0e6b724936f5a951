/* Arrays in memory and in HDF5 files. Whatever goes wrong ends the process with status 2. */
#ifndef FILES_H
#define FILES_H

#include <hdf5.h>
#include <stdint.h>

typedef struct matrix {
    int64_t rows, columns;
    float *value; /* [rows*columns] */
} matrix;

/* Ends the process. */
void die(const char *what, const char *name);

/* Zeros, which the caller frees. */
void *allocate(int64_t count, size_t size);

int exists(const char *file, const char *dataset);

/* The whole dataset as `type`; its shape goes to *rows and *columns (1 where it has one dimension). */
void *read_dataset(const char *file, const char *dataset, hid_t type, int64_t *rows,
                   int64_t *columns);

/* A dataset as float32. */
matrix read_matrix(const char *file, const char *dataset);

/* "FILE:DATASET" or "FILE" (then /train). */
matrix read_input(const char *input);

void write_dataset(hid_t where, const char *name, hid_t type, int rank, int64_t rows,
                   int64_t columns, const void *data);
void write_attribute(hid_t where, const char *name, hid_t type, const void *value);

#endif
