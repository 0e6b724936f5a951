/* See replaced.h. */
#include "replaced.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <hdf5.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

struct replaced reads;

void reset(void)
{
    memset(&reads, 0, sizeof reads);
    reads.main = pthread_self();
}

ssize_t pread(int descriptor, void *out, size_t bytes, off_t at)
{
    int call = ++reads.calls;
    if (!pthread_equal(pthread_self(), reads.main)) reads.threads++;
    if (fcntl(descriptor, F_GETFL) & O_DIRECT) {
        reads.direct++;
        if (((uintptr_t)out | bytes | (size_t)at) % 512 != 0) reads.unaligned++;
    }
    if (reads.slow > 0) usleep((useconds_t)reads.slow);
    if (reads.fail_from > 0 && call >= reads.fail_from) {
        errno = EIO;
        return -1;
    }
    if (reads.interrupt && call % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    ssize_t got = syscall(SYS_pread64, descriptor, out, bytes, at);
    return reads.most > 0 && got > (ssize_t)reads.most ? (ssize_t)reads.most : got;
}

int uncompress(Bytef *out, uLongf *bytes, const Bytef *in, uLong in_bytes)
{
    static int (*real)(Bytef *, uLongf *, const Bytef *, uLong);
    reads.inflated++;
    if (!real) {
        void *symbol = dlsym(RTLD_NEXT, "uncompress");
        memcpy(&real, &symbol, sizeof real);
    }
    return real(out, bytes, in, in_bytes);
}

herr_t H5Dget_chunk_storage_size(hid_t set, const hsize_t *at, hsize_t *bytes)
{
    static herr_t (*real)(hid_t, const hsize_t *, hsize_t *);
    if (++reads.in_hdf5 > 1) reads.together++;
    if (reads.slow_hdf5 > 0) usleep((useconds_t)reads.slow_hdf5);
    if (!real) {
        void *symbol = dlsym(RTLD_NEXT, "H5Dget_chunk_storage_size");
        memcpy(&real, &symbol, sizeof real);
    }
    herr_t result = real(set, at, bytes);
    reads.in_hdf5--;
    return result;
}

static uint64_t random_state;

int64_t below(int64_t limit)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (int64_t)((random_state >> 33) % (uint64_t)limit);
}

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *walk)
{
    (void)info, (void)flag, (void)walk;
    return remove(path);
}

static char home[4096];

int enter(void **state)
{
    (void)state;
    const char *folder = getenv("TMPDIR");
    int length =
        snprintf(home, sizeof home, "%s/lloyd-test-read-XXXXXX", folder != NULL ? folder : "/tmp");
    if (length < 0 || (size_t)length >= sizeof home) return -1;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    reset();
    random_state = 1;
    return mkdtemp(home) && chdir(home) == 0 ? 0 : -1;
}

int leave(void **state)
{
    (void)state;
    reset();
    unsetenv("LLOYD_DIRECT_IO");
    if (chdir("/") != 0) return -1;
    return nftw(home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

lloyd_rows *open_one(const char *input)
{
    lloyd_rows *rows;
    lloyd_status status = lloyd_rows_open(&input, 1, &rows);
    if (status != LLOYD_OK) fail_msg("%s", lloyd_message());
    return rows;
}

void check_failed(lloyd_status got, lloyd_status expected, const char *a, const char *b,
                  const char *c)
{
    const char *words[3] = {a, b, c};
    if (got != expected) fail_msg("status %d, not %d: %s", got, expected, lloyd_message());
    for (int i = 0; i < 3; i++)
        if (words[i] && !strstr(lloyd_message(), words[i]))
            fail_msg("'%s' is not in: %s", words[i], lloyd_message());
    if (getenv("SHOW_MESSAGES")) printf("    %s\n", lloyd_message());
}

char *all_rows(const char *path, const char *name, int64_t *n, int64_t *row_bytes)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT), type = H5Dget_type(set),
          space = H5Dget_space(set), native = H5Tcopy(type);
    H5Tset_order(native, H5Tget_order(H5T_NATIVE_FLOAT));
    hsize_t extent[2];
    assert_int_equal(H5Sget_simple_extent_dims(space, extent, NULL), 2);
    *n = (int64_t)extent[0];
    *row_bytes = (int64_t)(extent[1] * H5Tget_size(type));
    char *data = calloc((size_t)*n, (size_t)*row_bytes);
    assert_true(H5Dread(set, native, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Tclose(native), H5Tclose(type), H5Sclose(space), H5Dclose(set), H5Fclose(file);
    return data;
}

void check_same(const char *path, const char *name)
{
    int64_t n, row_bytes;
    char *expected = all_rows(path, name, &n, &row_bytes), input[300];
    char *got = malloc((size_t)(n * row_bytes));
    snprintf(input, sizeof input, "%s:%s", path, name);
    lloyd_rows *rows = open_one(input);
    assert_int_equal(lloyd_rows_count(rows), n);
    int64_t step = 1 + below(n);
    for (int i = 0; i < 40; i++) {
        int64_t first = i < 20 ? below(n) : (i - 20) * step % n, count = 1 + below(n - first);
        if (i == 0) first = 0, count = n;
        if (i >= 20 && count > step) count = step;
        memset(got, 0x5a, (size_t)(n * row_bytes));
        if (lloyd_rows_read(rows, first, count, got) != LLOYD_OK) fail_msg("%s", lloyd_message());
        if (memcmp(got, expected + first * row_bytes, (size_t)(count * row_bytes)) != 0)
            fail_msg("%s: rows %ld + %ld of %ld differ", input, (long)first, (long)count, (long)n);
        for (int64_t b = count * row_bytes; b < n * row_bytes && b < count * row_bytes + 64; b++)
            assert_int_equal(got[b], 0x5a); /* nothing is written behind */
    }
    lloyd_rows_close(rows);
    free(got), free(expected);
}

void put(const char *path, const char *name, hid_t type, hid_t creation, int64_t n, int64_t d)
{
    hid_t file = access(path, F_OK) == 0 ? H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT)
                                         : H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT);
    hsize_t extent[2] = {(hsize_t)n, (hsize_t)d}, most[2] = {H5S_UNLIMITED, H5S_UNLIMITED};
    int chunked = creation != H5P_DEFAULT && H5Pget_layout(creation) == H5D_CHUNKED;
    hid_t space = H5Screate_simple(2, extent, chunked ? most : NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    assert_true(set >= 0);
    int64_t bytes = n * d * (int64_t)H5Tget_size(type);
    char *data = malloc((size_t)bytes);
    for (int64_t i = 0; i < bytes; i++) data[i] = (char)(below(7) * (i % 3)); /* compressible */
    assert_true(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    free(data);
    H5Dclose(set), H5Sclose(space), H5Tclose(type), H5Fclose(file);
    if (creation != H5P_DEFAULT) H5Pclose(creation);
}

hid_t chunks(int64_t rows, int64_t columns, int filter)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk[2] = {(hsize_t)rows, (hsize_t)columns};
    H5Pset_chunk(creation, 2, chunk);
    if (filter == SHUFFLE || filter == BOTH) H5Pset_shuffle(creation);
    if (filter == DEFLATE || filter == BOTH) H5Pset_deflate(creation, 4);
    if (filter == FLETCHER) H5Pset_fletcher32(creation);
    return creation;
}

hid_t f16(void)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
}
