/* lloyd synth: a Gaussian mixture of any size.
 *
 * Every element is a pure function of the seed, its row and its column, so each rank makes and
 * writes its own rows, and the bytes do not depend on how many ranks there are. Nothing but
 * integer arithmetic, and additions and multiplications of doubles, is used: no log() or cos()
 * whose last bit a mathematical library might choose. The bell shape is the sum of eight uniform
 * numbers of 16 bits (Irwin-Hall), all from one Philox block: unit variance after scaling, tails
 * to 4.9 standard deviations.
 */
#include "lloyd/lloyd.h"

#include "base/half.h"
#include "base/memory.h"
#include "base/philox.h"
#include "comm/comm.h"
#include "io/space.h"
#include "io/writers/array.h"
#include "io/writers/origin.h"
#include "io/writers/output.h"
#include "job/agreement.h"
#include "job/options.h"
#include "job/outputs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DRAW_CENTRE = LLOYD_DRAW_SYNTH, DRAW_CLUSTER, DRAW_ELEMENT };
static const int64_t BUFFER_BYTES = (int64_t)64 << 20;

/* How elements of each type are made: centres are uniform in [low, high). */
typedef struct recipe {
    const char *name;
    lloyd_array_type array;
    lloyd_type type;
    double low, high, sigma;
    int least, greatest; /* of the integer types */
} recipe;

static const recipe recipes[] = {
    {"float32", LLOYD_ARRAY_F32, LLOYD_F32, -10, 10, 1, 0, 0},
    {"float16", LLOYD_ARRAY_F16, LLOYD_F16, -10, 10, 1, 0, 0},
    {"bfloat16", LLOYD_ARRAY_BF16, LLOYD_BF16, -10, 10, 1, 0, 0},
    {"uint8", LLOYD_ARRAY_U8, LLOYD_U8, 40, 215, 12, 0, 255},
    {"int8", LLOYD_ARRAY_I8, LLOYD_I8, -87.5, 87.5, 12, -128, 127},
};

/* Of a type that the option --type can have. */
static const recipe *find_recipe(const char *type)
{
    for (size_t i = 0; i < sizeof recipes / sizeof recipes[0]; i++) {
        if (strcmp(type, recipes[i].name) == 0) return &recipes[i];
    }
    return NULL;
}

/* floor(value * count / 2^64): a uniform number below count from uniform bits. */
static uint64_t scale(uint64_t value, uint64_t count)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)value * count >> 64);
}

/* The cluster of a row. The smaller of two uniform numbers makes clusters of unequal weight: the
 * first has twice the mean, the last almost none. */
static uint64_t draw_cluster(const lloyd_synth_options *options, uint64_t row)
{
    uint32_t bits[4];
    lloyd_philox(options->seed, DRAW_CLUSTER, row, 0, bits);
    uint64_t a = (uint64_t)bits[1] << 32 | bits[0], b = (uint64_t)bits[3] << 32 | bits[2];
    return scale(a < b ? a : b, (uint64_t)options->clusters);
}

/* A deviate of mean 0 and variance 1. Eight uniform integers in [0, 2^16) have the mean 8 (2^16
 * - 1) / 2 and the variance 8 (2^32 - 1) / 12, whose root is the divisor. */
static double draw_deviate(uint64_t seed, uint64_t row, uint32_t column)
{
    uint32_t bits[4], sum = 0;
    lloyd_philox(seed, DRAW_ELEMENT, row, column, bits);
    for (int i = 0; i < 4; i++) sum += (bits[i] & 0xffffU) + (bits[i] >> 16);
    return ((double)sum - 262140.0) * (1.0 / 53509.9199214501);
}

/* Stores one element, rounded to nearest. */
static inline void store(const recipe *r, double value, char *out)
{
    if (r->type == LLOYD_U8 || r->type == LLOYD_I8) {
        double above = value - r->least, most = r->greatest - r->least;
        int whole = above < 0 ? 0 : above > most ? (int)most : (int)(above + 0.5);
        *out = (char)(unsigned char)(whole + r->least);
        return;
    }
    float element = (float)value;
    uint16_t half = 0;
    if (r->type == LLOYD_F16) half = lloyd_f16_from_float(element);
    if (r->type == LLOYD_BF16) half = lloyd_bf16_from_float(element);
    if (r->type == LLOYD_F32) {
        memcpy(out, &element, sizeof element);
    } else {
        memcpy(out, &half, sizeof half);
    }
}

/* One row. A block of Philox gives four coordinates of the centre, or one deviate. */
static void make_row(const lloyd_synth_options *options, const recipe *r, int64_t row, char *out)
{
    uint64_t cluster = draw_cluster(options, (uint64_t)row);
    size_t size = lloyd_type_size(r->type);
    double width = (r->high - r->low) * 0x1p-32;
    uint32_t centre[4] = {0};
    for (int64_t j = 0; j < options->dim; j++, out += size) {
        if (j % 4 == 0)
            lloyd_philox(options->seed, DRAW_CENTRE, cluster, (uint32_t)(j / 4), centre);
        double offset = r->sigma * draw_deviate(options->seed, (uint64_t)row, (uint32_t)j);
        double middle = r->low + width * (double)centre[j % 4];
        store(r, middle + offset, out);
    }
}

/* Row r of p ranks' balanced split begins at n r / p. */
static int64_t split(int64_t n, int64_t rank, int64_t size)
{
    __extension__ typedef __int128 wide;
    return (int64_t)((wide)n * rank / size);
}

static lloyd_status write_rows(const lloyd_comm *comm, const lloyd_synth_options *options,
                               const recipe *r, lloyd_array *array)
{
    int64_t first = split(options->rows, comm->rank, comm->size),
            end = split(options->rows, comm->rank + 1, comm->size);
    int64_t row_bytes = options->dim * (int64_t)lloyd_type_size(r->type),
            most = BUFFER_BYTES / row_bytes;
    if (most < 1) most = 1;
    if (most > end - first) most = end - first;
    char *buffer;
    LLOYD_TRY(lloyd_alloc(&buffer, most, (size_t)row_bytes, "synthetic rows"));
    lloyd_status status = LLOYD_OK;
    while (first < end && status == LLOYD_OK) {
        int64_t count = end - first < most ? end - first : most;
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < count; i++) make_row(options, r, first + i, buffer + i * row_bytes);
        status = lloyd_array_write(array, first, count, buffer);
        first += count;
    }
    lloyd_free(buffer);
    return status;
}

static lloyd_status fill(const lloyd_comm *comm, const lloyd_synth_options *options,
                         const lloyd_output *output, const recipe *r)
{
    lloyd_array *array;
    LLOYD_TRY(lloyd_array_open(output, "/train", &array));
    lloyd_status status = write_rows(comm, options, r, array), closed = lloyd_array_close(array);
    return status == LLOYD_OK ? closed : status;
}

static lloyd_status check_options(const lloyd_synth_options *options)
{
    int64_t bytes;
    LLOYD_TRY(lloyd_options_check_synth(options));
    if (options->dim > UINT32_MAX) return lloyd_fail(LLOYD_USAGE, "--dim must be below 2^32");
    if (__builtin_mul_overflow(options->rows, options->dim * 4, &bytes)) {
        return lloyd_fail(LLOYD_USAGE, "--rows times --dim is more than a file can hold");
    }
    return LLOYD_OK;
}

static int64_t all_bytes(const lloyd_synth_options *options)
{
    return options->rows * options->dim *
           (int64_t)lloyd_type_size(find_recipe(options->type)->type);
}

static lloyd_status open_output(const lloyd_synth_options *options, lloyd_output *output)
{
    LLOYD_TRY(check_options(options));
    LLOYD_TRY(lloyd_output_open(options->output, options->force, output));
    const lloyd_need need = {options->output, all_bytes(options)};
    LLOYD_TRY(lloyd_space_check(&need, 1));
    return lloyd_output_tidy(output);
}

/* The empty dataset, with a note of how it is made. */
static lloyd_status create(const lloyd_synth_options *options, const lloyd_output *output,
                           const recipe *r)
{
    char text[512];
    snprintf(text, sizeof text,
             "Gaussian mixture made by lloyd synth --rows %" PRId64 " --dim %" PRId64
             " --clusters %" PRId64 " --type %s --seed %" PRIu64 " (version " LLOYD_VERSION ")",
             options->rows, options->dim, options->clusters, r->name, options->seed);
    LLOYD_TRY(lloyd_output_create(output, LLOYD_ORIGIN_SYNTH, all_bytes(options)));
    LLOYD_TRY(lloyd_array_create(output, "/train", r->array, options->rows, options->dim));
    return lloyd_output_attribute(output, "/train", "description", text);
}

static lloyd_status make(lloyd_comm *comm, const lloyd_synth_options *options,
                         const lloyd_output *output)
{
    int lead = comm->rank == 0;
    const recipe *r = find_recipe(options->type);
    lloyd_status status = comm->agree(comm, lead ? create(options, output, r) : LLOYD_OK);
    if (status == LLOYD_OK) status = comm->agree(comm, fill(comm, options, output, r));
    if (status == LLOYD_OK)
        status = comm->agree(comm, lead ? lloyd_output_commit(output) : LLOYD_OK);
    if (lead && status != LLOYD_OK) lloyd_output_discard(output);
    return status;
}

static lloyd_status compare_options(lloyd_comm *comm, const lloyd_synth_options *options)
{
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, "synth");
    lloyd_status status = lloyd_options_agreement(LLOYD_COMMAND_SYNTH, options, &agreement);
    return lloyd_agreement_compare(comm, status, &agreement, &lloyd_differing_options);
}

lloyd_status lloyd_synth(lloyd_comm *comm, const lloyd_synth_options *options)
{
    int lead = comm->rank == 0;
    lloyd_output output = {.path = NULL};
    LLOYD_TRY(compare_options(comm, options));
    lloyd_status status = comm->agree(comm, lead ? open_output(options, &output) : LLOYD_OK);
    if (status == LLOYD_OK) status = lloyd_outputs_share(comm, options->output, &output);
    if (status == LLOYD_OK) status = make(comm, options, &output);
    lloyd_output_close(&output);
    if (lead && status == LLOYD_OK) {
        printf("%s: /train, %" PRId64 " x %" PRId64 " %s, %" PRId64 " clusters\n", options->output,
               options->rows, options->dim, options->type, options->clusters);
    }
    return status;
}
