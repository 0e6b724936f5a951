#include "files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void die(const char *what, const char *name)
{
    fprintf(stderr, "reference: %s: %s\n", what, name);
    exit(2);
}

void *allocate(int64_t count, size_t size)
{
    void *memory = calloc(count > 0 ? (size_t)count : 1, size);
    if (!memory) die("out of memory for", "an array");
    return memory;
}

int exists(const char *file, const char *dataset)
{
    hid_t f = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (f < 0) die("cannot open", file);
    int found = H5Lexists(f, dataset, H5P_DEFAULT) > 0;
    H5Fclose(f);
    return found;
}

void *read_dataset(const char *file, const char *dataset, hid_t type, int64_t *rows,
                   int64_t *columns)
{
    hid_t f = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (f < 0) die("cannot open", file);
    hid_t set = H5Dopen2(f, dataset, H5P_DEFAULT);
    if (set < 0) die("no such dataset", dataset);
    hid_t space = H5Dget_space(set);
    hsize_t shape[2] = {1, 1};
    int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 1 || rank > 2) die("neither one- nor two-dimensional", dataset);
    H5Sget_simple_extent_dims(space, shape, NULL);
    *rows = (int64_t)shape[0];
    *columns = (int64_t)shape[1];
    void *data = allocate(*rows * *columns, H5Tget_size(type));
    if (H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) die("cannot read", dataset);
    H5Sclose(space);
    H5Dclose(set);
    H5Fclose(f);
    return data;
}

/* Everything is read as double, which holds all stored types exactly, and rounded once. */
matrix read_matrix(const char *file, const char *dataset)
{
    matrix m;
    double *wider = read_dataset(file, dataset, H5T_NATIVE_DOUBLE, &m.rows, &m.columns);
    m.value = allocate(m.rows * m.columns, sizeof *m.value);
    for (int64_t i = 0; i < m.rows * m.columns; i++) m.value[i] = (float)wider[i];
    free(wider);
    return m;
}

matrix read_input(const char *input)
{
    char file[4096];
    snprintf(file, sizeof file, "%s", input);
    char *colon = strrchr(file, ':');
    if (colon) *colon = '\0';
    return read_matrix(file, colon ? colon + 1 : "/train");
}

void write_dataset(hid_t where, const char *name, hid_t type, int rank, int64_t rows,
                   int64_t columns, const void *data)
{
    hsize_t shape[2] = {(hsize_t)rows, (hsize_t)columns};
    hid_t space = H5Screate_simple(rank, shape, NULL);
    hid_t set = H5Dcreate2(where, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (set < 0 || H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        die("cannot write", name);
    H5Dclose(set);
    H5Sclose(space);
}

void write_attribute(hid_t where, const char *name, hid_t type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(where, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, type, value) < 0) die("cannot write attribute", name);
    H5Aclose(attribute);
    H5Sclose(space);
}
