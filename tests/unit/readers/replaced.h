/* pread(), uncompress() and a function of HDF5 are replaced here, to fail as a system does and to
 * see who is called; and what the tests of reading have in common. */
#ifndef LLOYD_TEST_REPLACED_H
#define LLOYD_TEST_REPLACED_H

#include "io/rows.h"

#include <hdf5.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

/* What pread(), uncompress() and H5Dget_chunk_storage_size() do, and what they have seen. */
struct replaced {
    atomic_int calls;     /* of pread() since reset() */
    atomic_int threads;   /* of them, by other threads than main's */
    atomic_int unaligned; /* of them, on a descriptor with O_DIRECT and not of whole blocks */
    atomic_int direct;    /* of them, on such a descriptor */
    atomic_int inflated;  /* calls of uncompress() */
    size_t most;          /* bytes a call reads at most; 0: all */
    int interrupt;        /* every second call fails with EINTR */
    int fail_from;        /* from that call (1, 2, ...) on all fail with EIO; 0: none */
    int slow;             /* microseconds that a call takes longer */
    int slow_hdf5;        /* and one of H5Dget_chunk_storage_size() */
    atomic_int in_hdf5;   /* threads that are there now */
    atomic_int together;  /* times that one was not alone there */
    pthread_t main;
};
extern struct replaced reads;

/* The system as it is. */
void reset(void);

/* A random number from 0 to limit - 1. */
int64_t below(int64_t limit);

/* Every test begins in an empty directory. */
int enter(void **state);
int leave(void **state);

/* Opens an input that can be opened. */
lloyd_rows *open_one(const char *input);

/* The last call has failed like that, with these words (up to three) in its message. */
void check_failed(lloyd_status got, lloyd_status expected, const char *a, const char *b,
                  const char *c);

/* The whole dataset as HDF5 reads it; free with free(). */
char *all_rows(const char *path, const char *name, int64_t *n, int64_t *row_bytes);

/* Reads ranges, in order, at random and whole, and compares with what HDF5 reads. */
void check_same(const char *path, const char *name);

/* Random bytes as a dataset; `type` and `creation` are closed. */
void put(const char *path, const char *name, hid_t type, hid_t creation, int64_t n, int64_t d);

/* A list for a dataset in chunks with one of these filters. */
enum { NO_FILTER, DEFLATE, SHUFFLE, BOTH, FLETCHER, FILTERS };
hid_t chunks(int64_t rows, int64_t columns, int filter);

/* IEEE half precision. */
hid_t f16(void);

#endif
