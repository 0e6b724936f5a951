/* The header of a .npy file. Private to io/. */
#ifndef LLOYD_IO_NPY_HEADER_H
#define LLOYD_IO_NPY_HEADER_H

#include "base/status.h"
#include "io/readers/raw.h"

#include <stdint.h>

/* What its dictionary says. */
typedef struct lloyd_npy_header {
    char descr[32]; /* "<f4" */
    int fortran;    /* 1: column by column */
    int rank;       /* may be any number; the first two extents are there */
    int64_t extent[2];
    int64_t offset; /* of the elements in the file */
    int found;      /* a bit for each of the three keys */
} lloyd_npy_header;

/* Whether a file begins as .npy does. */
int lloyd_npy_recognises(const lloyd_raw_head *head);

/* LLOYD_BAD_INPUT where the header is none, or is not understood. */
lloyd_status lloyd_npy_header_read(const lloyd_raw_head *head, lloyd_npy_header *header);

#endif
