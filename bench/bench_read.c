/* How fast rows are read: everything of a dataset, in order, as a run reads it.
 *
 *     bench_read FILE[:DATASET] [-m rows|ahead|hdf5] [-c MB] [-n PASSES] [-j]
 *
 * rows   lloyd_rows_read(), one piece after the other
 * ahead  the same in a thread, into two buffers, while nothing is done with the rows
 * hdf5   H5Dread() of the same pieces, without anything of lloyd
 *
 * -c is the size of a piece. A first pass, not shown, computes a checksum of the rows as HDF5 reads
 * them. The timed ones are checked against it, with the clock stopped (ahead: by one more pass). So all
 * find the page cache as the file's size leaves it; LLOYD_DIRECT_IO=1 bypasses it. -j prints JSON.
 * Exit status 1 if a row differs.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "base/threads.h"
#include "io/hdf5/h5.h"
#include "io/readahead.h"
#include "io/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct bench {
    const char *input, *mode;
    lloyd_rows *rows;
    int64_t n, row_bytes, piece; /* rows of a piece */
    char *buffers[2];
    hid_t file, dataset, type; /* of mode hdf5 */
} bench;

/* A checksum of the rows in any pieces: the sum of a hash of each 8 bytes and their place. */
static uint64_t checksum(const char *data, int64_t first, int64_t bytes)
{
    uint64_t sum = 0;
#pragma omp parallel for reduction(+ : sum)
    for (int64_t i = 0; i < bytes / 8; i++) {
        uint64_t word;
        memcpy(&word, data + 8 * i, sizeof word);
        sum += (word ^ (uint64_t)(first + 8 * i)) * 0x9e3779b97f4a7c15U;
    }
    for (int64_t i = bytes - bytes % 8; i < bytes; i++)
        sum += (uint64_t)(unsigned char)data[i] * (uint64_t)(first + i + 1);
    return sum;
}

static lloyd_status open_hdf5(bench *b)
{
    lloyd_rows_about about;
    LLOYD_TRY(lloyd_rows_describe(b->rows, 0, &about));
    LLOYD_TRY(lloyd_h5_open_file(about.path, &b->file));
    b->dataset = H5Dopen2(b->file, about.dataset, H5P_DEFAULT);
    b->type = lloyd_h5_native(lloyd_rows_type(b->rows));
    return b->dataset >= 0 ? LLOYD_OK : lloyd_fail(LLOYD_FAILED, "HDF5 cannot open the dataset");
}

static lloyd_status read_hdf5(bench *b, int64_t first, int64_t count, void *out)
{
    hsize_t start[2] = {(hsize_t)first, 0},
            size[2] = {(hsize_t)count, (hsize_t)lloyd_rows_dim(b->rows)};
    hid_t stored = H5Dget_space(b->dataset), memory = H5Screate_simple(2, size, NULL);
    H5Sselect_hyperslab(stored, H5S_SELECT_SET, start, NULL, size, NULL);
    herr_t result = H5Dread(b->dataset, b->type, memory, stored, H5P_DEFAULT, out);
    H5Sclose(memory);
    H5Sclose(stored);
    return result >= 0 ? LLOYD_OK : lloyd_fail(LLOYD_FAILED, "H5Dread() fails");
}

static int64_t piece_at(const bench *b, int64_t first)
{
    return b->n - first < b->piece ? b->n - first : b->piece;
}

/* One pass piece by piece: seconds of reading, and the checksum. */
static lloyd_status pass(bench *b, int by_hdf5, double *seconds, uint64_t *sum)
{
    *seconds = 0;
    *sum = 0;
    for (int64_t first = 0; first < b->n; first += b->piece) {
        int64_t count = piece_at(b, first);
        double start = lloyd_seconds();
        LLOYD_TRY(by_hdf5 ? read_hdf5(b, first, count, b->buffers[0])
                          : lloyd_rows_read(b->rows, first, count, b->buffers[0]));
        *seconds += lloyd_seconds() - start;
        *sum += checksum(b->buffers[0], first * b->row_bytes, count * b->row_bytes);
    }
    return LLOYD_OK;
}

/* One pass through the pipeline; the checksum, if it is wanted, takes part of the time. */
static lloyd_status pass_ahead(bench *b, double *seconds, uint64_t *sum)
{
    lloyd_readahead *ahead;
    void *buffers[2] = {b->buffers[0], b->buffers[1]};
    double start = lloyd_seconds();
    LLOYD_TRY(lloyd_readahead_open(b->rows, buffers, 2, &ahead));
    lloyd_status status = LLOYD_OK;
    for (int64_t first = 0; first < b->n && status == LLOYD_OK; first += b->piece)
        status = lloyd_readahead_queue(ahead, first, piece_at(b, first));
    for (int64_t first = 0; first < b->n && status == LLOYD_OK; first += b->piece) {
        int buffer;
        const void *rows;
        status = lloyd_readahead_take(ahead, &buffer, &rows);
        if (status != LLOYD_OK) break;
        if (sum) *sum += checksum(rows, first * b->row_bytes, piece_at(b, first) * b->row_bytes);
        lloyd_readahead_release(ahead, buffer);
    }
    lloyd_readahead_close(ahead);
    *seconds = lloyd_seconds() - start;
    return status;
}

static lloyd_status run(bench *b, int passes, int json)
{
    int by_hdf5 = strcmp(b->mode, "hdf5") == 0, ahead = strcmp(b->mode, "ahead") == 0;
    double seconds, bytes = (double)b->n * (double)b->row_bytes;
    uint64_t expected, sum;
    LLOYD_TRY(open_hdf5(b));
    LLOYD_TRY(pass(b, 1, &seconds, &expected));
    sum = ahead ? 0 : expected;
    if (ahead) LLOYD_TRY(pass_ahead(b, &seconds, &sum));
    for (int i = 0; i < passes; i++) {
        LLOYD_TRY(ahead ? pass_ahead(b, &seconds, NULL) : pass(b, by_hdf5, &seconds, &sum));
        if (sum != expected) return lloyd_fail(LLOYD_FAILED, "the rows are not those HDF5 reads");
        printf(json ? "{\"input\": \"%s\", \"mode\": \"%s\", \"threads\": %d, \"pass\": %d, "
                      "\"gigabytes\": %.3f, \"seconds\": %.4f, \"gb_per_s\": %.3f}\n"
                    : "%-28s %-6s %2d threads  pass %d  %8.3f GB %9.3f s %8.3f GB/s\n",
               b->input, b->mode, by_hdf5 ? 1 : lloyd_pool_size(), i, bytes / 1e9, seconds,
               bytes / 1e9 / seconds);
    }
    return LLOYD_OK;
}

static lloyd_status prepare(bench *b, int64_t megabytes)
{
    LLOYD_TRY(lloyd_rows_open(&b->input, 1, &b->rows));
    b->n = lloyd_rows_count(b->rows);
    b->row_bytes = lloyd_rows_dim(b->rows) * (int64_t)lloyd_type_size(lloyd_rows_type(b->rows));
    b->piece = megabytes * 1000000 / b->row_bytes;
    if (b->piece < 1) b->piece = 1;
    if (lloyd_rows_rounded(b->rows) || lloyd_rows_files(b->rows) != 1)
        return lloyd_fail(LLOYD_USAGE, "one file, and none of float64, please");
    for (int i = 0; i < 2; i++)
        LLOYD_TRY(lloyd_alloc(&b->buffers[i], b->piece, (size_t)b->row_bytes, "a piece"));
    return LLOYD_OK;
}

int main(int argc, char *argv[])
{
    bench b = {.mode = "rows", .file = H5I_INVALID_HID, .dataset = H5I_INVALID_HID};
    int passes = 3, json = 0, option;
    int64_t megabytes = 64;
    while ((option = getopt(argc, argv, "m:c:n:j")) != -1) {
        if (option == 'm') b.mode = optarg;
        if (option == 'c') megabytes = atoll(optarg);
        if (option == 'n') passes = atoi(optarg);
        if (option == 'j') json = 1;
    }
    if (optind != argc - 1) {
        fprintf(stderr, "usage: bench_read [-m rows|ahead|hdf5] [-c MB] [-n PASSES] [-j] FILE\n");
        return 2;
    }
    b.input = argv[optind];
    lloyd_status status = prepare(&b, megabytes);
    if (status == LLOYD_OK) status = run(&b, passes, json);
    if (status != LLOYD_OK) fprintf(stderr, "bench_read: %s\n", lloyd_message());
    if (b.dataset >= 0) {
        H5Tclose(b.type);
        H5Dclose(b.dataset);
    }
    if (b.file >= 0) H5Fclose(b.file);
    for (int i = 0; i < 2; i++) lloyd_free(b.buffers[i]);
    lloyd_rows_close(b.rows);
    return status == LLOYD_OK ? 0 : 1;
}
