/* io/ against files it has not written itself: every storage, type and byte order HDF5 knows,
 * every error, and the values, not only the status. All files are made in a temporary directory,
 * which is the current one while the tests run. */
#include "base/half.h"
#include "base/memory.h"
#include "comm/self.h"
#include "io/inspect.h"
#include "io/readers/raw.h"
#include "io/rows.h"
#include "io/writers/array.h"
#include "io/writers/model.h"
#include "io/writers/output.h"
#include "io/writers/wrap.h"
#include "lloyd.h"

#include <fcntl.h>
#include <ftw.h>
#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char home[4096]; /* the temporary directory */

/* ---- Helpers ----------------------------------------------------------------------------- */

/* The element of a row and column: exact in every type, no two neighbours equal. */
static float sample(int64_t row, int64_t column, int is_unsigned)
{
    return (float)((row * 31 + column * 7) % 201 - (is_unsigned ? 0 : 100));
}

/* A floating-point type of that layout. */
static hid_t float_type(size_t size, size_t exponent_bits, size_t fraction_bits, size_t bias,
                        H5T_order_t order)
{
    hid_t type = H5Tcopy(size == 8 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE);
    H5Tset_fields(type, 8 * size - 1, fraction_bits, exponent_bits, 0, fraction_bits);
    H5Tset_size(type, size);
    H5Tset_ebias(type, bias);
    H5Tset_order(type, order);
    return type;
}

/* The file type of an element type in a byte order. */
static hid_t file_type(lloyd_type type, H5T_order_t order)
{
    switch (type) {
    case LLOYD_F32: return float_type(4, 8, 23, 127, order);
    case LLOYD_F16: return float_type(2, 5, 10, 15, order);
    case LLOYD_BF16: return float_type(2, 8, 7, 127, order);
    case LLOYD_U8: return H5Tcopy(H5T_STD_U8LE);
    case LLOYD_I8: return H5Tcopy(H5T_STD_I8BE);
    }
    return H5I_INVALID_HID;
}

static hid_t open_or_create(const char *path)
{
    if (access(path, F_OK) == 0) return H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    return H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT);
}

/* Writes a dataset of rank 1 to 3 whose element (i, j) is sample(first + i, j). Closes type and
 * creation list. */
static void put(const char *path, const char *name, hid_t type, hid_t creation, int rank, int64_t n,
                int64_t d, int64_t first)
{
    hid_t file = open_or_create(path);
    hsize_t extent[3] = {(hsize_t)n, (hsize_t)d, 1};
    hid_t space = H5Screate_simple(rank, extent, NULL);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    assert_true(dataset >= 0);
    int is_unsigned = H5Tget_class(type) == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_NONE;
    float *data = calloc((size_t)(n * d) + 1, sizeof *data);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) data[i * d + j] = sample(first + i, j, is_unsigned);
    if (n * d > 0)
        assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    free(data);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Tclose(type);
    if (creation != H5P_DEFAULT) H5Pclose(creation);
    H5Fclose(file);
}

static hid_t chunks(int64_t rows, int64_t columns, int deflate)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk[2] = {(hsize_t)rows, (hsize_t)columns};
    H5Pset_chunk(creation, 2, chunk);
    if (deflate) {
        H5Pset_shuffle(creation);
        H5Pset_deflate(creation, 1);
    }
    return creation;
}

static void put_f32(const char *path, const char *name, int64_t n, int64_t d, int64_t first)
{
    put(path, name, file_type(LLOYD_F32, H5T_ORDER_LE), H5P_DEFAULT, 2, n, d, first);
}

/* Writes a file of these bytes. */
static void put_bytes(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    fclose(file);
}

static char *get_bytes(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*bytes + 1);
    assert_int_equal(fread(data, 1, *bytes, file), *bytes);
    data[*bytes] = '\0';
    fclose(file);
    return data;
}

static float element(lloyd_type type, const void *data, int64_t i)
{
    switch (type) {
    case LLOYD_F32: return ((const float *)data)[i];
    case LLOYD_F16: return lloyd_f16_to_float(((const uint16_t *)data)[i]);
    case LLOYD_BF16: return lloyd_bf16_to_float(((const uint16_t *)data)[i]);
    case LLOYD_U8: return ((const uint8_t *)data)[i];
    case LLOYD_I8: return ((const int8_t *)data)[i];
    }
    return 0;
}

static lloyd_rows *open_one(const char *input)
{
    lloyd_rows *rows;
    lloyd_status status = lloyd_rows_open(&input, 1, &rows);
    if (status != LLOYD_OK) fail_msg("%s", lloyd_message());
    return rows;
}

/* Reads all rows in pieces and compares with sample(); closes the rows. */
static void check_rows(lloyd_rows *rows, lloyd_type type, int64_t n, int64_t d, int64_t piece)
{
    assert_int_equal(lloyd_rows_count(rows), n);
    assert_int_equal(lloyd_rows_dim(rows), d);
    assert_int_equal(lloyd_rows_type(rows), type);
    assert_true(lloyd_rows_memory(rows) >= 0);
    void *data = malloc((size_t)(piece * d) * lloyd_type_size(type));
    for (int64_t first = 0; first < n; first += piece) {
        int64_t count = n - first < piece ? n - first : piece;
        if (lloyd_rows_read(rows, first, count, data) != LLOYD_OK) fail_msg("%s", lloyd_message());
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j < d; j++) {
                float expected = sample(first + i, j, type == LLOYD_U8);
                if (element(type, data, i * d + j) != expected)
                    fail_msg("row %ld column %ld: %g, not %g", (long)(first + i), (long)j,
                             (double)element(type, data, i * d + j), (double)expected);
            }
    }
    free(data);
    lloyd_rows_close(rows);
}

/* The call has failed with this status and a message that has these words (up to three). */
static void check_failed(lloyd_status got, lloyd_status expected, const char *a, const char *b,
                         const char *c)
{
    const char *words[3] = {a, b, c};
    if (got != expected) fail_msg("status %d, not %d: %s", got, expected, lloyd_message());
    for (int i = 0; i < 3; i++)
        if (words[i] && !strstr(lloyd_message(), words[i]))
            fail_msg("'%s' is not in: %s", words[i], lloyd_message());
    if (getenv("SHOW_MESSAGES")) printf("    %s\n", lloyd_message());
}

static void bad_input(const char *input, const char *a, const char *b, const char *c)
{
    lloyd_rows *rows;
    check_failed(lloyd_rows_open(&input, 1, &rows), LLOYD_BAD_INPUT, a, b, c);
    assert_null(rows);
}

/* Opens, but reading fails. */
static void bad_read(const char *input, const char *a, const char *b, const char *c)
{
    lloyd_rows *rows = open_one(input);
    int64_t n = lloyd_rows_count(rows), d = lloyd_rows_dim(rows);
    void *data = malloc((size_t)(n * d) * sizeof(float));
    check_failed(lloyd_rows_read(rows, 0, n, data), LLOYD_BAD_INPUT, a, b, c);
    free(data);
    lloyd_rows_close(rows);
}

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *walk)
{
    (void)info, (void)flag, (void)walk;
    return remove(path);
}

/* Every test begins in an empty directory. */
static int enter(void **state)
{
    (void)state;
    const char *folder = getenv("TMPDIR");
    int length =
        snprintf(home, sizeof home, "%s/lloyd-test-io-XXXXXX", folder != NULL ? folder : "/tmp");
    if (length < 0 || (size_t)length >= sizeof home) return -1;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return mkdtemp(home) && chdir(home) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    if (chdir("/") != 0) return -1;
    return nftw(home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- Base -------------------------------------------------------------------------------- */

static void base_memory(void **state)
{
    (void)state;
    char *data;
    assert_int_equal(lloyd_alloc(&data, 100000000, 1, "a test"), LLOYD_OK);
    assert_int_equal((uintptr_t)data % 64, 0);
    for (int64_t i = 0; i < 100000000; i += 997) assert_int_equal(data[i], 0);
    assert_int_equal(data[99999999], 0);
    assert_true(lloyd_memory_now() > 100000000);
    assert_true(lloyd_memory_peak() > 100000000);
    assert_true(lloyd_memory_available() > 0);
    lloyd_free(data);
    assert_int_equal(lloyd_alloc(&data, 0, 8, "nothing"), LLOYD_OK);
    assert_non_null(data);
    lloyd_free(data);
    lloyd_free(NULL);
    check_failed(lloyd_alloc(&data, INT64_MAX, 8, "too much"), LLOYD_FAILED, "too much",
                 "any memory", NULL);
    assert_null(data);
    check_failed(lloyd_alloc(&data, -1, 8, "less than nothing"), LLOYD_FAILED, "less than nothing",
                 NULL, NULL);
}

static void base_half(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        uint16_t half = (uint16_t)bits;
        float f = lloyd_f16_to_float(half), b = lloyd_bf16_to_float(half);
        if (f == f) assert_int_equal(lloyd_f16_from_float(f), half);
        if (b == b) assert_int_equal(lloyd_bf16_from_float(b), half);
        if (f != f) assert_true((lloyd_f16_from_float(f) & 0x7fff) > 0x7c00);
        if (b != b) assert_true((lloyd_bf16_from_float(b) & 0x7fff) > 0x7f80);
    }
    static const struct {
        float from;
        uint16_t f16, bf16;
    } known[] = {{1, 0x3c00, 0x3f80},
                 {-2, 0xc000, 0xc000},
                 {65504, 0x7bff, 0x4780},
                 {65519.996F, 0x7bff, 0x4780},
                 {65520, 0x7c00, 0x4780},
                 {1.00048828125F, 0x3c00, 0x3f80}, /* ties to even, down */
                 {1.00146484375F, 0x3c02, 0x3f80},
                 {0x1p-24F, 0x0001, 0x3380},
                 {0x1p-25F, 0x0000, 0x3300},
                 {0x1.8p-25F, 0x0001, 0x3340},
                 {1.00390625F, 0x3c04, 0x3f80},
                 {1.01171875F, 0x3c0c, 0x3f82},
                 {INFINITY, 0x7c00, 0x7f80},
                 {3.4e38F, 0x7c00, 0x7f80}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_int_equal(lloyd_f16_from_float(known[i].from), known[i].f16);
        assert_int_equal(lloyd_bf16_from_float(known[i].from), known[i].bf16);
    }
    static const char *const names[] = {"float32", "float16", "bfloat16", "uint8", "int8"};
    for (int type = LLOYD_F32; type <= LLOYD_I8; type++)
        assert_string_equal(lloyd_type_name((lloyd_type)type), names[type]);
}

/* ---- Storage, types, byte orders ----------------------------------------------------------- */

static void rows_types_and_storage(void **state)
{
    (void)state;
    enum { N = 157, D = 13 };
    for (int type = LLOYD_F32; type <= LLOYD_I8; type++)
        for (int big = 0; big < 2; big++)
            for (int storage = 0; storage < 7; storage++) {
                hid_t creation = H5P_DEFAULT;
                if (storage == 1) creation = chunks(10, D, 0);
                if (storage == 2) creation = chunks(10, D, 1);
                if (storage == 3) creation = chunks(16, 5, 1); /* chunks that divide nothing */
                if (storage == 4) creation = chunks(1, 1, 0);
                if (storage == 5) creation = chunks(N, 3, 1);
                if (storage == 6) {
                    creation = H5Pcreate(H5P_DATASET_CREATE);
                    H5Pset_layout(creation, H5D_COMPACT);
                }
                put("t.h5", "data", file_type((lloyd_type)type, big ? H5T_ORDER_BE : H5T_ORDER_LE),
                    creation, 2, N, D, 0);
                check_rows(open_one("t.h5"), (lloyd_type)type, N, D, 1 + 13 * storage);
                check_rows(open_one("t.h5"), (lloyd_type)type, N, D, N);
                remove("t.h5");
            }
}

static void rows_float64(void **state)
{
    (void)state;
    static const double stored[6] = {1 + 0x1p-24, 1 + 3 * 0x1p-24, 1 + 0x1p-24 + 0x1p-50,
                                     1e300,       -1e-60,          3.4028235e38};
    for (int big = 0; big < 2; big++) {
        hid_t file = H5Fcreate("d.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        hsize_t extent[2] = {2, 3};
        hid_t space = H5Screate_simple(2, extent, NULL),
              type = float_type(8, 11, 52, 1023, big ? H5T_ORDER_BE : H5T_ORDER_LE);
        hid_t dataset =
            H5Dcreate2(file, "train", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, stored);
        H5Dclose(dataset), H5Sclose(space), H5Tclose(type), H5Fclose(file);
        lloyd_rows *rows = open_one("d.h5");
        float read[6];
        assert_int_equal(lloyd_rows_rounded(rows), 1);
        assert_int_equal(lloyd_rows_type(rows), LLOYD_F32);
        assert_int_equal(lloyd_rows_read(rows, 0, 2, read), LLOYD_OK);
        for (int i = 0; i < 6; i++) assert_true(read[i] == (float)stored[i]);
        assert_true(isinf(read[3]));
        lloyd_rows_close(rows);
    }
    put("n.h5", "train", float_type(8, 11, 52, 1023, H5T_ORDER_BE), chunks(7, 2, 1), 2, 100, 5, 0);
    check_rows(open_one("n.h5"), LLOYD_F32, 100, 5, 9);
    put_f32("f.h5", "train", 3, 5, 0);
    lloyd_rows *rows = open_one("f.h5");
    assert_int_equal(lloyd_rows_rounded(rows), 0);
    lloyd_rows_close(rows);
}

/* A filter that copies, and counts how often it decodes. */
static int decoded;
static size_t count_filter(unsigned flags, size_t parameters, const unsigned values[], size_t bytes,
                           size_t *size, void **buffer)
{
    (void)parameters, (void)values, (void)size, (void)buffer;
    if (flags & H5Z_FLAG_REVERSE) decoded++;
    return bytes;
}

static void rows_decode_once(void **state)
{
    (void)state;
    const H5Z_class2_t filter = {H5Z_CLASS_T_VERS, 300, 1, 1, "counting", NULL, NULL, count_filter};
    assert_true(H5Zregister(&filter) >= 0);
    static const int64_t chunk[4][2] = {{100, 64}, {100, 5}, {7, 1}, {1000, 64}};
    for (int c = 0; c < 4; c++) {
        enum { N = 1000, D = 64 };
        hid_t creation = chunks(chunk[c][0], chunk[c][1], 0);
        H5Pset_filter(creation, 300, 0, 0, NULL);
        put("c.h5", "train", file_type(LLOYD_F32, H5T_ORDER_LE), creation, 2, N, D, 0);
        decoded = 0;
        check_rows(open_one("c.h5"), LLOYD_F32, N, D, 37);
        int64_t all = (N + chunk[c][0] - 1) / chunk[c][0] * ((D + chunk[c][1] - 1) / chunk[c][1]);
        assert_int_equal(decoded, all);
        remove("c.h5");
    }
    /* Without the filter the message says what is missing. */
    hid_t creation = chunks(10, 4, 0);
    H5Pset_filter(creation, 300, 0, 0, NULL);
    put("c.h5", "train", file_type(LLOYD_F32, H5T_ORDER_LE), creation, 2, 50, 4, 0);
    H5Zunregister(300);
    bad_input("c.h5", "filter 300", "HDF5_PLUGIN_PATH", "c.h5");
}

/* ---- Names, several files ---------------------------------------------------------------- */

static void rows_names(void **state)
{
    (void)state;
    mkdir("sub", 0755);
    put_f32("sub/a.h5", "only", 5, 3, 0);
    check_rows(open_one("sub/a.h5"), LLOYD_F32, 5, 3, 5);
    check_rows(open_one("sub/a.h5:only"), LLOYD_F32, 5, 3, 5);
    check_rows(open_one("sub/a.h5:/only"), LLOYD_F32, 5, 3, 5);
    check_rows(open_one("sub/[a].h5:only"), LLOYD_F32, 5, 3, 5);
    put_f32("b:c.h5", "one", 6, 3, 0);
    check_rows(open_one("b:c.h5"), LLOYD_F32, 6, 3, 5);
    check_rows(open_one("b:c.h5:one"), LLOYD_F32, 6, 3, 5);
    check_rows(open_one("b:?.h5"), LLOYD_F32, 6, 3, 5);
    put_f32("[x].h5", "one", 4, 3, 0);
    check_rows(open_one("[x].h5"), LLOYD_F32, 4, 3, 5);
    put_f32("m.h5", "test", 4, 3, 50);
    put_f32("m.h5", "train", 7, 3, 0);
    put("m.h5", "label", H5Tcopy(H5T_STD_I32LE), H5P_DEFAULT, 1, 7, 1, 0);
    check_rows(open_one("m.h5"), LLOYD_F32, 7, 3, 2);
    put_f32("z.h5", "one", 4, 3, 0);
    put_f32("z.h5", "two", 4, 3, 0);
    bad_input("z.h5", "/one, /two", "FILE:DATASET", NULL);
    bad_input("z.h5:three", "no dataset of that name", "/one, /two", NULL);
    bad_input("z.h5:", "no dataset is named", NULL, NULL);
    char name[16];
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "d%02d", i);
        put_f32("many.h5", name, 2, 2, 0);
    }
    bad_input("many.h5", "/d07 and more", NULL, NULL);
    put("none.h5", "label", H5Tcopy(H5T_STD_I32LE), H5P_DEFAULT, 1, 7, 1, 0);
    bad_input("none.h5", "no two-dimensional dataset", NULL, NULL);
    put("wrong.h5", "train", file_type(LLOYD_F32, H5T_ORDER_LE), H5P_DEFAULT, 1, 7, 1, 0);
    bad_input("wrong.h5", "1 dimension,", "two", NULL);
    hid_t file = H5Fopen("none.h5", H5F_ACC_RDWR, H5P_DEFAULT);
    H5Lcreate_external("m.h5", "/train", file, "train", H5P_DEFAULT,
                       H5P_DEFAULT); /* links are followed */
    H5Gclose(H5Gcreate2(file, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Fclose(file);
    check_rows(open_one("none.h5"), LLOYD_F32, 7, 3, 2);
    bad_input("none.h5:group", "but a group", NULL, NULL);
}

static void rows_many_files(void **state)
{
    (void)state;
    enum { FILES = 200, EACH = 3 };
    char path[64];
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "s%03d.h5", i);
        put(path, "train", file_type(LLOYD_I8, H5T_ORDER_LE), i % 2 ? chunks(2, 2, 1) : H5P_DEFAULT,
            2, EACH, 4, i * EACH);
    }
    struct rlimit before, few = {40, 40};
    getrlimit(RLIMIT_NOFILE, &before);
    few.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_NOFILE, &few);
    lloyd_rows *rows = open_one("s*.h5:train");
    assert_int_equal(lloyd_rows_files(rows), FILES);
    assert_string_equal(lloyd_rows_file(rows, 7), "s007.h5");
    char text[128];
    lloyd_rows_where(rows, 31, text, sizeof text);
    assert_string_equal(text, "s010.h5:/train row 1");
    int8_t row[4];
    for (int64_t i = FILES * EACH; i-- > 0;) { /* backwards too */
        assert_int_equal(lloyd_rows_read(rows, i, 1, row), LLOYD_OK);
        assert_true((float)row[3] == sample(i, 3, 0));
    }
    check_failed(lloyd_rows_read(rows, FILES * EACH, 1, row), LLOYD_FAILED, "mistake", NULL, NULL);
    assert_int_equal(lloyd_rows_read(rows, FILES * EACH, 0, row), LLOYD_OK);
    check_rows(rows, LLOYD_I8, FILES * EACH, 4, 100);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void rows_several_inputs(void **state)
{
    (void)state;
    put_f32("b.h5", "x", 4, 3, 0);
    put_f32("empty.h5", "x", 0, 3, 0);
    put("a.h5", "y", float_type(8, 11, 52, 1023, H5T_ORDER_BE), H5P_DEFAULT, 2, 5, 3, 4);
    const char *order[] = {"b.h5", "empty.h5", "a.h5:y", "empty.h5"};
    lloyd_rows *rows;
    assert_int_equal(lloyd_rows_open(order, 4, &rows), LLOYD_OK);
    assert_int_equal(lloyd_rows_rounded(rows), 1);
    char text[64];
    lloyd_rows_where(rows, 4, text, sizeof text);
    assert_string_equal(text, "a.h5:/y row 0");
    check_rows(rows, LLOYD_F32, 9, 3, 4);
    put_f32("wide.h5", "x", 4, 5, 0);
    const char *wide[] = {"b.h5", "wide.h5"};
    check_failed(lloyd_rows_open(wide, 2, &rows), LLOYD_BAD_INPUT, "wide.h5:/x has 5 columns",
                 "b.h5:/x has 3", NULL);
    put("u8.h5", "x", H5Tcopy(H5T_STD_U8LE), H5P_DEFAULT, 2, 4, 3, 0);
    const char *types[] = {"b.h5", "u8.h5"};
    check_failed(lloyd_rows_open(types, 2, &rows), LLOYD_BAD_INPUT, "u8.h5:/x is of type uint8",
                 "b.h5:/x is of type float32", NULL);
    const char *missing[] = {"b.h5", "missing.h5:/x"};
    check_failed(lloyd_rows_open(missing, 2, &rows), LLOYD_BAD_INPUT, "missing.h5: No such file",
                 NULL, NULL);
    assert_null(rows);
    const char *empty[] = {"empty.h5", "empty.h5"};
    check_failed(lloyd_rows_open(empty, 2, &rows), LLOYD_BAD_INPUT, "no rows", "like all other",
                 NULL);
    check_failed(lloyd_rows_open(NULL, 0, &rows), LLOYD_USAGE, "no input", NULL, NULL);
    lloyd_rows_close(NULL);
}

/* ---- Bad files --------------------------------------------------------------------------- */

static void rows_bad_files(void **state)
{
    (void)state;
    bad_input("gone.h5", "gone.h5", "No such file", NULL);
    bad_input("gone*.h5:/x", "no file matches", "gone*.h5", NULL);
    mkdir("dir", 0755);
    bad_input("dir", "is a directory", "dir/*.h5", NULL);
    mkfifo("pipe", 0644);
    bad_input("pipe", "not a regular file", NULL, NULL);
    put_bytes("text.h5", "These are not vectors.", 22);
    bad_input("text.h5", "not an HDF5 file", "lloyd wrap", NULL);
    put_bytes("zero.h5", "", 0);
    bad_input("zero.h5", "not an HDF5 file", NULL, NULL);
    put_f32("whole.h5", "x", 1000, 10, 0);
    size_t bytes;
    char *data = get_bytes("whole.h5", &bytes);
    put_bytes("half.h5", data, bytes / 2);
    bad_input("half.h5", "not written completely", "truncated", NULL);
    put_bytes("stub.h5", data, 60);
    bad_input("stub.h5", NULL, NULL, NULL);
    free(data);
    if (geteuid() != 0) {
        chmod("whole.h5", 0);
        bad_input("whole.h5", "Permission denied", NULL, NULL);
    }
}

static void rows_damaged_chunk(void **state)
{
    (void)state;
    put("c.h5", "x", file_type(LLOYD_F32, H5T_ORDER_LE), chunks(100, 20, 1), 2, 1000, 20, 0);
    hid_t file = H5Fopen("c.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
    H5Fclose(file);
    size_t bytes;
    char *data = get_bytes("c.h5", &bytes);
    for (size_t i = bytes / 2; i < bytes / 2 + 200; i++) data[i] = (char)(data[i] ^ 0x5a);
    put_bytes("c.h5", data, bytes);
    free(data);
    bad_read("c.h5", "cannot read rows", "c.h5:/x", "inflate");
}

static void put_empty(const char *name, hid_t type)
{
    hid_t file = open_or_create("types.h5");
    hsize_t extent[2] = {2, 2};
    hid_t space = H5Screate_simple(2, extent, NULL);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(dataset >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Fclose(file);
}

static void rows_bad_types(void **state)
{
    (void)state;
    hid_t string = H5Tcopy(H5T_C_S1), compound = H5Tcreate(H5T_COMPOUND, 8),
          vlen = H5Tvlen_create(H5T_NATIVE_FLOAT);
    H5Tset_size(string, 5);
    H5Tinsert(compound, "a", 0, H5T_NATIVE_FLOAT);
    H5Tinsert(compound, "b", 4, H5T_NATIVE_FLOAT);
    hid_t boolean = H5Tenum_create(H5T_NATIVE_INT8), odd = float_type(4, 6, 25, 31, H5T_ORDER_LE);
    signed char no = 0;
    H5Tenum_insert(boolean, "FALSE", &no);
    hsize_t three = 3;
    hid_t array = H5Tarray_create2(H5T_NATIVE_FLOAT, 1, &three);
    hid_t narrow = H5Tcopy(H5T_STD_U8LE);
    H5Tset_precision(narrow, 4);
    struct {
        const char *name;
        hid_t type;
        const char *word, *advice;
    } types[] = {
        {"a", H5T_STD_I64LE, "int64", "astype('float32')"},
        {"b", H5T_STD_I32BE, "int32", "astype"},
        {"c", H5T_STD_U16LE, "uint16", "astype"},
        {"d", H5T_STD_I16LE, "int16", "float32 or uint8"},
        {"e", string, "string", "FILE:DATASET"},
        {"f", compound, "compound", "FILE:DATASET"},
        {"g", vlen, "variable-length", "FILE:DATASET"},
        {"h", boolean, "enumeration", "FILE:DATASET"},
        {"i", H5T_STD_REF_OBJ, "reference", "FILE:DATASET"},
        {"j", H5T_STD_B8LE, "bitfield", "FILE:DATASET"},
        {"k", array, "array", "FILE:DATASET"},
        {"l", odd, "unusual 4-byte", "astype"},
        {"m", narrow, "ever written", "types.h5"}, /* read, if there were any */
        {"n", H5T_STD_U64BE, "uint64", "astype"},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char input[32];
        put_empty(types[i].name, types[i].type);
        snprintf(input, sizeof input, "types.h5:%s", types[i].name);
        bad_input(input, types[i].word, types[i].advice, input + 9);
    }
    H5Tclose(string), H5Tclose(compound), H5Tclose(vlen), H5Tclose(boolean), H5Tclose(odd),
        H5Tclose(array), H5Tclose(narrow);
}

static void rows_bad_shapes(void **state)
{
    (void)state;
    put("s.h5", "one", file_type(LLOYD_F32, H5T_ORDER_LE), H5P_DEFAULT, 1, 7, 1, 0);
    put("s.h5", "three", file_type(LLOYD_F32, H5T_ORDER_LE), H5P_DEFAULT, 3, 7, 2, 0);
    put_f32("s.h5", "no-rows", 0, 5, 0);
    put_f32("s.h5", "no-columns", 5, 0, 0);
    bad_input("s.h5:one", "s.h5:/one has 1 dimension,", "/no-columns, /no-rows", NULL);
    bad_input("s.h5:three", "has 3 dimensions", NULL, NULL);
    bad_input("s.h5:no-rows", "s.h5:/no-rows has no rows", NULL, NULL);
    bad_input("s.h5:no-columns", "zero columns", NULL, NULL);
    hid_t file = H5Fopen("s.h5", H5F_ACC_RDWR, H5P_DEFAULT), scalar = H5Screate(H5S_SCALAR),
          null = H5Screate(H5S_NULL);
    H5Dclose(H5Dcreate2(file, "scalar", H5T_NATIVE_FLOAT, scalar, H5P_DEFAULT, H5P_DEFAULT,
                        H5P_DEFAULT));
    H5Dclose(
        H5Dcreate2(file, "null", H5T_NATIVE_FLOAT, null, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    hsize_t vast[2] = {(hsize_t)1 << 40, (hsize_t)1 << 30};
    hid_t space = H5Screate_simple(2, vast, NULL), creation = chunks(64, 64, 0);
    H5Dclose(H5Dcreate2(file, "vast", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Pclose(creation), H5Sclose(space), H5Sclose(scalar), H5Sclose(null), H5Fclose(file);
    bad_input("s.h5:scalar", "0 dimensions", NULL, NULL);
    bad_input("s.h5:null", "0 dimensions", NULL, NULL);
    bad_input("s.h5:vast", "2^63", NULL, NULL);
}

/* ---- Weights ----------------------------------------------------------------------------- */

static void rows_weights(void **state)
{
    (void)state;
    put_f32("a.h5", "x", 6, 2, 0);
    put_f32("b.h5", "x", 5, 2, 6);
    put("a.h5", "w", float_type(2, 5, 10, 15, H5T_ORDER_BE), H5P_DEFAULT, 1, 6, 1, 0);
    put("b.h5", "w", H5Tcopy(H5T_STD_I32BE), H5P_DEFAULT, 1, 5, 1, 6);
    put("a.h5", "short", file_type(LLOYD_F32, H5T_ORDER_LE), H5P_DEFAULT, 1, 5, 1, 0);
    const char *inputs[] = {"a.h5:x", "b.h5:x"};
    lloyd_rows *rows;
    float weights[11], data[22];
    assert_int_equal(lloyd_rows_open(inputs, 2, &rows), LLOYD_OK);
    check_failed(lloyd_rows_read_weights(rows, 0, 11, weights), LLOYD_FAILED,
                 "before they are opened", NULL, NULL);
    check_failed(lloyd_rows_open_weights(rows, "short"), LLOYD_BAD_INPUT,
                 "a.h5:/short has 1 dimension and 5", "6 rows", NULL);
    check_failed(lloyd_rows_open_weights(rows, "x"), LLOYD_BAD_INPUT, "2 dimensions", NULL, NULL);
    check_failed(lloyd_rows_open_weights(rows, "gone"), LLOYD_BAD_INPUT, "a.h5:/gone", "no dataset",
                 NULL);
    check_failed(lloyd_rows_open_weights(rows, ""), LLOYD_USAGE, "empty", NULL, NULL);
    assert_int_equal(lloyd_rows_open_weights(rows, "/w"), LLOYD_OK);
    assert_int_equal(lloyd_rows_open_weights(rows, "w"), LLOYD_OK);
    assert_int_equal(lloyd_rows_read_weights(rows, 0, 11, weights), LLOYD_OK);
    for (int i = 0; i < 11; i++) assert_true(weights[i] == sample(i, 0, 0));
    assert_int_equal(lloyd_rows_read(rows, 0, 11, data), LLOYD_OK);
    assert_true(data[21] == sample(10, 1, 0));
    assert_int_equal(lloyd_rows_read_weights(rows, 5, 2, weights), LLOYD_OK);
    assert_true(weights[1] == sample(6, 0, 0));
    lloyd_rows_close(rows);
}

/* ---- External storage -------------------------------------------------------------------- */

static void rows_external(void **state)
{
    (void)state;
    mkdir("d", 0755);
    for (int where = 0; where < 2;
         where++) { /* the data beside the HDF5 file; in the current directory */
        const char *path = "d/x.h5", *raw = where ? "raw.bin" : "d/raw.bin";
        if (where == 0 && chdir("d") != 0) fail();
        hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
        H5Pset_external(creation, "raw.bin", 16, 100 * 4);
        H5Pset_external(creation, "more.bin", 0, H5F_UNLIMITED);
        put(where ? path : "x.h5", "x", file_type(LLOYD_F32, H5T_ORDER_BE), creation, 2, 50, 4, 0);
        if (where == 0 && chdir("..") != 0) fail();
        check_rows(open_one(path), LLOYD_F32, 50, 4, 7);
        assert_int_equal(truncate(raw, 415), 0);
        bad_input(path, "raw.bin", "has 415 bytes instead of 416", path);
        remove(raw);
        bad_input(path, "raw.bin", "missing", path);
        remove(path);
        remove(where ? "more.bin" : "d/more.bin");
    }
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    char absolute[4200];
    snprintf(absolute, sizeof absolute, "%s/abs.bin", home);
    H5Pset_external(creation, absolute, 0, 800);
    put("d/y.h5", "x", file_type(LLOYD_F32, H5T_ORDER_LE), creation, 2, 50, 4, 0);
    assert_int_equal(chdir("d"), 0);
    check_rows(open_one("y.h5"), LLOYD_F32, 50, 4, 7);
    assert_int_equal(chdir(".."), 0);
}

/* ---- Virtual datasets -------------------------------------------------------------------- */

/* A virtual dataset /v of float32 whose rows [i * each, (i+1) * each) are rows [from, from +
 * each) of dataset x of files[i]. */
static void put_virtual(const char *path, int count, const char *const *files, int64_t each,
                        int64_t d, int64_t from, int64_t source_rows)
{
    hid_t file = open_or_create(path), creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t extent[2] = {(hsize_t)(count * each), (hsize_t)d},
            source[2] = {(hsize_t)source_rows, (hsize_t)d};
    hid_t space = H5Screate_simple(2, extent, NULL), from_space = H5Screate_simple(2, source, NULL);
    for (int i = 0; i < count; i++) {
        hsize_t start[2] = {(hsize_t)(i * each), 0}, start_from[2] = {(hsize_t)from, 0},
                size[2] = {(hsize_t)each, (hsize_t)d};
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, size, NULL);
        H5Sselect_hyperslab(from_space, H5S_SELECT_SET, start_from, NULL, size, NULL);
        assert_true(H5Pset_virtual(creation, space, files[i], "x", from_space) >= 0);
    }
    H5Sselect_all(space);
    hid_t dataset =
        H5Dcreate2(file, "v", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    assert_true(dataset >= 0);
    H5Dclose(dataset), H5Sclose(space), H5Sclose(from_space), H5Pclose(creation), H5Fclose(file);
}

/* Dataset x of rows 10 to 19, in an external file. */
static void put_external(const char *path, const char *raw)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, raw, 0, 120);
    put(path, "x", file_type(LLOYD_F32, H5T_ORDER_LE), creation, 2, 10, 3, 10);
}

static void rows_virtual(void **state)
{
    (void)state;
    mkdir("d", 0755);
    put_f32("d/a.h5", "x", 10, 3, 0);
    put("d/b.h5", "x", H5Tcopy(H5T_STD_I16BE), chunks(3, 3, 1), 2, 10, 3, 10);
    const char *files[] = {"a.h5", "b.h5"};
    put_virtual("d/v.h5", 2, files, 10, 3, 0, 10);
    check_rows(open_one("d/v.h5"), LLOYD_F32, 20, 3, 7);
    const char *same[] = {"."};
    put_f32("same.h5", "x", 10, 3, 0);
    put_virtual("same.h5", 1, same, 10, 3, 0, 10);
    check_rows(open_one("same.h5:v"), LLOYD_F32, 10, 3, 10);
    /* A source that is missing is only noticed by who reads its rows. */
    rename("d/b.h5", "d/gone.h5");
    lloyd_rows *rows = open_one("d/v.h5");
    float data[60];
    assert_int_equal(lloyd_rows_read(rows, 0, 10, data), LLOYD_OK);
    check_failed(lloyd_rows_read(rows, 9, 2, data), LLOYD_BAD_INPUT, "source file b.h5", "missing",
                 "d/v.h5");
    lloyd_rows_close(rows);
    put_bytes("d/b.h5", "rubbish", 7);
    bad_read("d/v.h5", "source file b.h5", NULL, NULL);
    remove("d/b.h5");
    put_f32("d/b.h5", "y", 10, 3, 10);
    bad_read("d/v.h5", "virtual dataset /v", "x", "b.h5");
    remove("d/b.h5");
    put_f32("d/b.h5", "x", 9, 3, 10);
    bad_read("d/v.h5", "smaller", "b.h5", NULL);
    /* A source that is itself external: HDF5 finds its data by absolute name, and not beside it. */
    remove("d/b.h5");
    char raw[4200];
    snprintf(raw, sizeof raw, "%s/d/raw.bin", home);
    put_external("d/b.h5", raw);
    check_rows(open_one("d/v.h5"), LLOYD_F32, 20, 3, 7);
    assert_int_equal(truncate(raw, 50), 0);
    bad_read("d/v.h5", "raw.bin", "50 bytes", NULL);
    remove("d/b.h5");
    assert_int_equal(chdir("d"), 0);
    put_external("b.h5", "raw.bin");
    check_rows(open_one("v.h5"), LLOYD_F32, 20, 3, 7);
    assert_int_equal(chdir(".."), 0);
    bad_read("d/v.h5", "raw.bin", "missing", "HDF5_EXTFILE_PREFIX");
}

static void rows_virtual_whole(void **state)
{
    (void)state;
    /* Mapped whole to whole, as H5S_ALL, and read from elsewhere through a symbolic link. */
    mkdir("d", 0755);
    mkdir("e", 0755);
    put_f32("d/a.h5", "x", 10, 3, 0);
    hid_t file = H5Fcreate("d/v.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
          creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t extent[2] = {10, 3};
    hid_t space = H5Screate_simple(2, extent, NULL);
    H5Pset_virtual(creation, space, "a.h5", "x", space);
    H5Dclose(H5Dcreate2(file, "v", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Sclose(space), H5Pclose(creation), H5Fclose(file);
    assert_int_equal(symlink("../d/v.h5", "e/link.h5"), 0);
    check_rows(open_one("e/link.h5"), LLOYD_F32, 10, 3, 4);
    rename("d/a.h5", "d/a2.h5");
    bad_read("e/link.h5", "a.h5", "missing", NULL);
}

/* ---- Output ------------------------------------------------------------------------------ */

/* Outputs by name, so that those who write and those who complete one mean the same part file. */
static lloyd_output outputs[8];

static lloyd_output *out(const char *path)
{
    int i = 0;
    while (i < 7 && outputs[i].path && strcmp(outputs[i].path, path) != 0) i++;
    if (outputs[i].path && strcmp(outputs[i].path, path) != 0) lloyd_output_close(&outputs[i]);
    if (!outputs[i].path && lloyd_output_open(path, 1, &outputs[i]) != LLOYD_OK)
        fail_msg("%s", lloyd_message());
    return &outputs[i];
}

/* One without a part file. */
static lloyd_output *fresh(const char *path)
{
    lloyd_output_discard(out(path));
    return out(path);
}

static int close_outputs(void **state)
{
    for (int i = 0; i < 8; i++) lloyd_output_close(&outputs[i]);
    return leave(state);
}

/* Whether a name of an output is accepted, with or without force. */
static lloyd_status named(const char *path, int force)
{
    lloyd_output output;
    lloyd_status status = lloyd_output_open(path, force, &output);
    if (status == LLOYD_OK) lloyd_output_close(&output);
    return status;
}

static void output_check(void **state)
{
    (void)state;
    put_f32("in.h5", "x", 5, 2, 0);
    mkdir("dir", 0755);
    mkfifo("pipe", 0644);
    assert_int_equal(named("out.h5", 0), LLOYD_OK);
    assert_int_equal(named("dir/out.h5", 0), LLOYD_OK);
    assert_int_equal(named("in.h5", 1), LLOYD_OK);
    assert_int_not_equal(access("out.h5", F_OK), 0);
    check_failed(named("in.h5", 0), LLOYD_USAGE, "in.h5", "--force", NULL);
    check_failed(named("", 0), LLOYD_USAGE, "empty", NULL, NULL);
    check_failed(named("none/out.h5", 0), LLOYD_FAILED, "none", "make it first", NULL);
    check_failed(named("in.h5/out.h5", 0), LLOYD_FAILED, "in.h5", NULL, NULL);
    check_failed(named("dir", 1), LLOYD_FAILED, "is a directory", NULL, NULL);
    check_failed(named("dir/", 0), LLOYD_FAILED, "is a directory", NULL, NULL);
    check_failed(named("pipe", 1), LLOYD_FAILED, "not a regular file", NULL, NULL);
    check_failed(named("/proc/none/x.h5", 0), LLOYD_FAILED, "/proc", NULL, NULL);
    if (geteuid() != 0) {
        chmod("dir", 0555);
        check_failed(named("dir/out.h5", 0), LLOYD_FAILED, "Permission denied", NULL, NULL);
    }
    check_failed(lloyd_output_commit(out("never.h5")), LLOYD_FAILED, "never.h5", ".part", NULL);
    lloyd_output_discard(out("never.h5"));
}

/* Creates and fills an array as several processes would, with rows in blocks of `piece`. */
static void put_array(const lloyd_output *output, const char *name, lloyd_array_type type,
                      const void *data, int64_t n, int64_t d, int64_t row_bytes, int64_t piece)
{
    lloyd_array *array;
    assert_int_equal(lloyd_array_create(output, name, type, n, d), LLOYD_OK);
    for (int64_t first = n - n % piece; first >= 0; first -= piece) { /* any order */
        int64_t count = n - first < piece ? n - first : piece;
        assert_int_equal(lloyd_array_open(output, name, &array), LLOYD_OK);
        assert_int_equal(lloyd_array_write(array, first, count,
                                           (const char *)data + first * row_bytes),
                         LLOYD_OK);
        assert_int_equal(lloyd_array_close(array), LLOYD_OK);
    }
}

/* A new part file. */
static lloyd_output *begun(const char *path)
{
    lloyd_output *output = fresh(path);
    assert_int_equal(lloyd_output_create(output, "labels", 0), LLOYD_OK);
    return output;
}

static void output_array(void **state)
{
    (void)state;
    static const lloyd_type types[] = {LLOYD_F32,  LLOYD_F32, LLOYD_F16,
                                       LLOYD_BF16, LLOYD_U8,  LLOYD_I8};
    enum { N = 100, D = 7 };
    for (int t = LLOYD_ARRAY_F32; t <= LLOYD_ARRAY_I8; t++) {
        lloyd_type type = types[t];
        char data[N * D * 4];
        size_t size = lloyd_type_size(type);
        for (int64_t i = 0; i < N * D; i++) {
            float f = sample(i / D, i % D, type == LLOYD_U8);
            uint16_t half = type == LLOYD_F16 ? lloyd_f16_from_float(f) : lloyd_bf16_from_float(f);
            uint8_t byte = type == LLOYD_U8 ? (uint8_t)f : (uint8_t)(int8_t)f;
            const void *from = size == 4 ? (void *)&f : size == 2 ? (void *)&half : (void *)&byte;
            memcpy(data + i * (int64_t)size, from, size);
        }
        lloyd_output *a = begun("a.h5");
        put_array(a, "/train", (lloyd_array_type)t, data, N, D, D * (int64_t)size, 33);
        assert_int_equal(lloyd_output_attribute(a, "/train", "note", "a remark"), LLOYD_OK);
        assert_int_not_equal(access("a.h5", F_OK), 0);
        assert_int_equal(lloyd_output_commit(a), LLOYD_OK);
        assert_int_not_equal(access(a->part, F_OK), 0);
        check_rows(open_one("a.h5"), type, N, D, 11);
        remove("a.h5");
    }
}

static void output_same_bytes(void **state)
{
    (void)state;
    int32_t labels[1000];
    float distances[1000];
    for (int i = 0; i < 1000; i++) labels[i] = i * 7, distances[i] = (float)i;
    size_t a, b;
    put_array(begun("one.h5"), "/labels", LLOYD_ARRAY_I32, labels, 1000, 0, 4, 1000);
    put_array(out("one.h5"), "/distances", LLOYD_ARRAY_F32, distances, 1000, 0, 4, 1000);
    sleep(1);
    put_array(begun("two.h5"), "/labels", LLOYD_ARRAY_I32, labels, 1000, 0, 4, 7);
    put_array(out("two.h5"), "/distances", LLOYD_ARRAY_F32, distances, 1000, 0, 4, 999);
    char *one = get_bytes(out("one.h5")->part, &a), *two = get_bytes(out("two.h5")->part, &b);
    assert_int_equal(a, b);
    assert_memory_equal(one, two, a);
    free(one), free(two);
    int32_t read[3];
    int64_t total;
    assert_int_equal(lloyd_output_commit(out("one.h5")), LLOYD_OK);
    assert_int_equal(lloyd_inspect_labels("one.h5", 997, 3, &total, read), LLOYD_OK);
    assert_int_equal(total, 1000);
    assert_int_equal(read[2], 999 * 7);
    lloyd_output_discard(out("two.h5"));
    assert_int_not_equal(access(out("two.h5")->part, F_OK), 0);
}

static void output_array_edges(void **state)
{
    (void)state;
    lloyd_array *array;
    char row[4] = {0};
    for (int d = 0; d < 2; d++) { /* no rows */
        lloyd_output *z = begun("z.h5");
        assert_int_equal(lloyd_array_create(z, "x", LLOYD_ARRAY_I32, 0, d), LLOYD_OK);
        assert_int_equal(lloyd_array_open(z, "x", &array), LLOYD_OK);
        assert_int_equal(lloyd_array_write(array, 0, 0, row), LLOYD_OK);
        check_failed(lloyd_array_write(array, 0, 1, row), LLOYD_FAILED, "mistake", NULL, NULL);
        assert_int_equal(lloyd_array_close(array), LLOYD_OK);
    }
    assert_int_equal(lloyd_array_close(NULL), LLOYD_OK);
    check_failed(lloyd_array_open(out("none.h5"), "x", &array), LLOYD_FAILED, "none.h5", ".part",
                 NULL);
    check_failed(lloyd_array_open(out("z.h5"), "y", &array), LLOYD_FAILED, "z.h5", NULL, NULL);
    assert_null(array);
    check_failed(lloyd_array_create(out("none.h5"), "x", LLOYD_ARRAY_I32, 5, 0), LLOYD_FAILED,
                 "none.h5", NULL, NULL);
    check_failed(lloyd_array_create(out("z.h5"), "x", LLOYD_ARRAY_I32, 5, 0), LLOYD_FAILED, "z.h5",
                 NULL, NULL);
    check_failed(lloyd_output_create(out("z.h5"), "labels", 0), LLOYD_FAILED, "z.h5", NULL, NULL);
    /* A write that fails: the file may not grow beyond a limit. */
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    lloyd_output *full = begun("full.h5");
    assert_int_equal(lloyd_array_create(full, "x", LLOYD_ARRAY_U8, 100000, 1), LLOYD_OK);
    assert_int_equal(lloyd_array_open(full, "x", &array), LLOYD_OK);
    signal(SIGXFSZ, SIG_IGN);
    limit = before;
    limit.rlim_cur = 50000;
    setrlimit(RLIMIT_FSIZE, &limit);
    char *data = calloc(100000, 1);
    check_failed(lloyd_array_write(array, 0, 100000, data), LLOYD_FAILED, "full.h5",
                 "File too large", NULL);
    free(data);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(lloyd_array_close(array), LLOYD_OK);
}

/* More than 2^32 bytes and elements; the file has a hole, so this is quick. */
static void output_large(void **state)
{
    (void)state;
    lloyd_array *array;
    int64_t n = 50000000, d = 100;
    char row[100], read[100];
    for (int j = 0; j < 100; j++) row[j] = (char)(j + 1);
    lloyd_output *big = begun("big.h5");
    assert_int_equal(lloyd_array_create(big, "/train", LLOYD_ARRAY_I8, n, d), LLOYD_OK);
    assert_int_equal(lloyd_array_open(big, "/train", &array), LLOYD_OK);
    assert_int_equal(lloyd_array_write(array, n - 2, 1, row), LLOYD_OK);
    assert_int_equal(lloyd_array_close(array), LLOYD_OK);
    lloyd_rows *rows = open_one(big->part);
    assert_int_equal(lloyd_rows_count(rows), n);
    assert_int_equal(lloyd_rows_read(rows, n - 2, 1, read), LLOYD_OK);
    assert_memory_equal(row, read, 100);
    assert_int_equal(lloyd_rows_read(rows, n - 1, 1, read), LLOYD_OK);
    assert_int_equal(read[5], 0);
    lloyd_rows_close(rows);
}

/* ---- Models ------------------------------------------------------------------------------ */

static void model_round_trip(void **state)
{
    (void)state;
    float centroids[6] = {1, 2, 3, 4, 5, -6.5F};
    int64_t counts[3] = {4, 0, 3}, moved[2] = {7, 2};
    double inertia[2] = {9.5, 8.25}, seconds[2] = {0.125, 0.5};
    int32_t labels[7] = {0, 2, 0, 2, 0, 2, 0};
    enum { INPUTS = 5000 };
    char **inputs = calloc(INPUTS, sizeof *inputs);
    for (int i = 0; i < INPUTS; i++) {
        inputs[i] = malloc(64);
        snprintf(inputs[i], 64, "/a/directory with a name/file %d.h5", i);
    }
    lloyd_model model = {.n = 7,
                         .d = 2,
                         .k = 3,
                         .centroids = centroids,
                         .counts = counts,
                         .iterations = 2,
                         .inertia = inertia,
                         .moved = moved,
                         .seconds = seconds,
                         .final_inertia = 8.125,
                         .converged = 1,
                         .seed = UINT64_MAX - 1,
                         .ranks = 5,
                         .cosine = 1,
                         .version = "0.1.0",
                         .command = "lloyd fit \xc3\xa4",
                         .options = "{\"k\": 3}",
                         .backend = "cpu",
                         .inputs = inputs,
                         .input_count = INPUTS};
    char *bytes[2];
    size_t size[2];
    for (int round = 0; round < 2; round++) {
        lloyd_array *array;
        if (round) sleep(1); /* no times in the file */
        assert_int_equal(lloyd_model_write(fresh("m.h5"), &model, 1), LLOYD_OK);
        assert_int_equal(lloyd_array_open(out("m.h5"), "/labels", &array), LLOYD_OK);
        assert_int_equal(lloyd_array_write(array, 0, 7, labels), LLOYD_OK);
        assert_int_equal(lloyd_array_close(array), LLOYD_OK);
        assert_int_equal(lloyd_output_commit(out("m.h5")), LLOYD_OK);
        bytes[round] = get_bytes("m.h5", &size[round]);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    free(bytes[0]), free(bytes[1]);
    lloyd_model read;
    if (lloyd_model_read("m.h5", &read) != LLOYD_OK) fail_msg("%s", lloyd_message());
    assert_true(read.n == 7 && read.d == 2 && read.k == 3 && read.iterations == 2 &&
                read.final_inertia == 8.125);
    assert_true(read.converged == 1 && read.seed == UINT64_MAX - 1 && read.ranks == 5 &&
                read.cosine == 1);
    assert_memory_equal(read.centroids, centroids, sizeof centroids);
    assert_memory_equal(read.counts, counts, sizeof counts);
    assert_memory_equal(read.inertia, inertia, sizeof inertia);
    assert_memory_equal(read.moved, moved, sizeof moved);
    assert_memory_equal(read.seconds, seconds, sizeof seconds);
    assert_string_equal(read.version, model.version);
    assert_string_equal(read.command, model.command);
    assert_string_equal(read.options, model.options);
    assert_string_equal(read.backend, model.backend);
    assert_int_equal(read.input_count, INPUTS);
    assert_string_equal(read.inputs[4999], inputs[4999]);
    lloyd_model_free(&read);
    int32_t stored[7];
    int64_t total;
    assert_int_equal(lloyd_inspect_labels("m.h5", 0, 7, &total, stored), LLOYD_OK);
    assert_memory_equal(stored, labels, sizeof labels);
    /* Without labels, without iterations. */
    model.iterations = 0;
    model.input_count = 0;
    model.version = NULL;
    assert_int_equal(lloyd_model_write(fresh("n.h5"), &model, 0), LLOYD_OK);
    assert_int_equal(lloyd_output_commit(out("n.h5")), LLOYD_OK);
    check_failed(lloyd_inspect_labels("n.h5", 0, 0, &total, NULL), LLOYD_BAD_INPUT,
                 "no dataset /labels", NULL, NULL);
    assert_int_equal(lloyd_model_read("n.h5", &read), LLOYD_OK);
    assert_true(read.iterations == 0 && read.input_count == 0 && read.k == 3);
    assert_string_equal(read.version, "");
    lloyd_model_free(&read);
    mkdir("no", 0755);
    const lloyd_output *no = out("no/m.h5");
    rmdir("no");
    check_failed(lloyd_model_write(no, &model, 1), LLOYD_FAILED, "no/m.h5", NULL, NULL);
    for (int i = 0; i < INPUTS; i++) free(inputs[i]);
    free(inputs);
}

static void model_from_elsewhere(void **state)
{
    (void)state;
    lloyd_model read;
    put("c.h5", "centroids", float_type(8, 11, 52, 1023, H5T_ORDER_BE), chunks(2, 2, 1), 2, 5, 3,
        0);
    put("c.h5", "counts", H5Tcopy(H5T_STD_I32LE), H5P_DEFAULT, 1, 4, 1, 0); /* of something else */
    assert_int_equal(lloyd_model_read("c.h5", &read), LLOYD_OK);
    assert_true(read.k == 5 && read.d == 3 && !read.counts && !read.inertia &&
                read.iterations == 0);
    for (int i = 0; i < 15; i++) assert_true(read.centroids[i] == sample(i / 3, i % 3, 0));
    lloyd_model_free(&read);
    put("u.h5", "centroids", H5Tcopy(H5T_STD_U8LE), H5P_DEFAULT, 2, 5, 3, 0);
    assert_int_equal(lloyd_model_read("u.h5", &read), LLOYD_OK);
    assert_true(read.centroids[14] == sample(4, 2, 1));
    lloyd_model_free(&read);
    hid_t file = H5Fopen("u.h5", H5F_ACC_RDWR, H5P_DEFAULT),
          dataset = H5Dopen2(file, "centroids", H5P_DEFAULT);
    H5Dclose(dataset), H5Fclose(file);
    put_f32("nan.h5", "centroids", 5, 3, 0);
    file = H5Fopen("nan.h5", H5F_ACC_RDWR, H5P_DEFAULT),
    dataset = H5Dopen2(file, "centroids", H5P_DEFAULT);
    float data[15] = {0};
    data[7] = NAN;
    H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    H5Dclose(dataset), H5Fclose(file);
    check_failed(lloyd_model_read("nan.h5", &read), LLOYD_BAD_INPUT, "nan.h5", "centroid 2", NULL);
    put("one.h5", "centroids", file_type(LLOYD_F32, H5T_ORDER_LE), H5P_DEFAULT, 1, 5, 1, 0);
    check_failed(lloyd_model_read("one.h5", &read), LLOYD_BAD_INPUT, "two-dimensional", NULL, NULL);
    put_f32("x.h5", "x", 5, 3, 0);
    check_failed(lloyd_model_read("x.h5", &read), LLOYD_BAD_INPUT, "no dataset /centroids", "x.h5",
                 NULL);
    put_f32("e.h5", "centroids", 0, 3, 0);
    check_failed(lloyd_model_read("e.h5", &read), LLOYD_BAD_INPUT, "at least one row", NULL, NULL);
    check_failed(lloyd_model_read("gone.h5", &read), LLOYD_BAD_INPUT, "gone.h5", "No such file",
                 NULL);
    lloyd_model_free(&read);
}

/* ---- Wrap -------------------------------------------------------------------------------- */

/* Writes a header and n x d elements of a type and byte order; returns the path. */
static const char *put_raw(const char *path, const void *header, size_t header_bytes,
                           lloyd_type type, int wide, int big, int64_t n, int64_t d)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(header, 1, header_bytes, file);
    for (int64_t i = 0; i < n * d; i++) {
        float f = sample(i / d, i % d, type == LLOYD_U8);
        double w = (double)f;
        uint16_t half = lloyd_f16_from_float(f);
        uint8_t byte = type == LLOYD_U8 ? (uint8_t)f : (uint8_t)(int8_t)f;
        size_t size = wide ? 8 : lloyd_type_size(type);
        const unsigned char *from = wide        ? (void *)&w
                                    : size == 4 ? (void *)&f
                                    : size == 2 ? (void *)&half
                                                : (void *)&byte;
        for (size_t b = 0; b < size; b++) fputc(from[big ? size - 1 - b : b], file);
    }
    fclose(file);
    return path;
}

/* A .npy header; returns its size. */
static size_t npy_header(char *out, int version, const char *text)
{
    size_t start = version == 1 ? 10 : 12, length = strlen(text);
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (char)version;
    out[7] = 0;
    for (size_t i = 0; i + 8 < start; i++) out[8 + i] = (char)(length >> (8 * i) & 0xff);
    memcpy(out + start, text, length);
    return start + length;
}

static void check_wrap(const char *raw, const char *path, lloyd_type type, const char *type_name,
                       int64_t n, int64_t d)
{
    int64_t rows, columns;
    const char *name;
    const lloyd_output *output = fresh(path);
    if (lloyd_wrap(raw, output, &rows, &columns, &name) != LLOYD_OK)
        fail_msg("%s", lloyd_message());
    assert_int_equal(lloyd_output_commit(output), LLOYD_OK);
    assert_true(rows == n && columns == d);
    assert_string_equal(name, type_name);
    check_rows(open_one(path), type, n, d, 5);
}

static void bad_wrap(const char *raw, const char *a, const char *b)
{
    int64_t rows, columns;
    const char *name;
    const lloyd_output *output = out("bad.h5");
    check_failed(lloyd_wrap(raw, output, &rows, &columns, &name), LLOYD_BAD_INPUT, raw, a, b);
    assert_int_not_equal(access(output->part, F_OK), 0);
}

static void wrap_bin(void **state)
{
    (void)state;
    const unsigned char header[8] = {12, 0, 0, 0, 3, 0, 0, 0};
    mkdir("d", 0755);
    mkdir("d/e", 0755);
    check_wrap(put_raw("d/a.fbin", header, 8, LLOYD_F32, 0, 0, 12, 3), "d/f.h5", LLOYD_F32,
               "float32", 12, 3);
    check_wrap(put_raw("d/e/b.u8bin", header, 8, LLOYD_U8, 0, 0, 12, 3), "d/u.h5", LLOYD_U8,
               "uint8", 12, 3);
    check_wrap(put_raw("d/e/c.i8bin", header, 8, LLOYD_I8, 0, 0, 12, 3), "abs.h5", LLOYD_I8, "int8",
               12, 3);
    check_wrap("d/a.fbin", "d/e/up.h5", LLOYD_F32, "float32", 12, 3);
    /* From elsewhere, and after both have moved. */
    assert_int_equal(chdir("d/e"), 0);
    check_rows(open_one("../f.h5"), LLOYD_F32, 12, 3, 5);
    check_rows(open_one("../../abs.h5"), LLOYD_I8, 12, 3, 5);
    check_rows(open_one("up.h5"), LLOYD_F32, 12, 3, 5);
    assert_int_equal(chdir("../.."), 0);
    rename("d", "moved");
    check_rows(open_one("moved/f.h5"), LLOYD_F32, 12, 3, 5);
    check_rows(open_one("moved/u.h5"), LLOYD_U8, 12, 3, 5);
    bad_input("abs.h5", "c.i8bin", "missing", NULL);
    /* Sizes that do not match the header. */
    put_raw("long.fbin", header, 8, LLOYD_F32, 0, 0, 13, 3);
    bad_wrap("long.fbin", "164 bytes", "makes 152");
    put_raw("short.fbin", header, 8, LLOYD_F32, 0, 0, 11, 3);
    bad_wrap("short.fbin", "140 bytes", "makes 152");
    put_bytes("tiny.fbin", header, 7);
    bad_wrap("tiny.fbin", "7 bytes", NULL);
    put_bytes("none.u8bin", "\0\0\0\0\3\0\0\0", 8);
    bad_wrap("none.u8bin", "0 rows", NULL);
    put_bytes("vast.fbin", "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    bad_wrap("vast.fbin", "2^63", NULL);
    put_bytes("x.bin", header, 8);
    bad_wrap("x.bin", ".u8bin", ".npy");
    bad_wrap("gone.fbin", "No such file", NULL);
    mkdir("dir.fbin", 0755);
    bad_wrap("dir.fbin", "not a regular file", NULL);
}

static void wrap_npy(void **state)
{
    (void)state;
    static const struct {
        const char *descr, *name;
        lloyd_type type;
        int wide, big;
    } types[] = {{"<f4", "float32", LLOYD_F32, 0, 0}, {">f4", "float32", LLOYD_F32, 0, 1},
                 {"<f2", "float16", LLOYD_F16, 0, 0}, {">f2", "float16", LLOYD_F16, 0, 1},
                 {"<f8", "float64", LLOYD_F32, 1, 0}, {">f8", "float64", LLOYD_F32, 1, 1},
                 {"|u1", "uint8", LLOYD_U8, 0, 0},    {"|i1", "int8", LLOYD_I8, 0, 0}};
    char text[256], header[300];
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (int version = 1; version <= 3; version++) {
            snprintf(text, sizeof text,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (9, 4), }%*s\n",
                     types[t].descr, 20, "");
            size_t bytes = npy_header(header, version, text);
            put_raw("x.npy", header, bytes, types[t].type, types[t].wide, types[t].big, 9, 4);
            check_wrap("x.npy", "x.h5", types[t].type, types[t].name, 9, 4);
        }
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (9, 4), }", "'<i8'"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (9, 4), }", "ascontiguousarray"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (36,), }", "1 dimension,"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "0 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3, 4), }", "3 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4), }", "0 rows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9, 99999999999999999999), }",
         "not understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9, -4), }", "not understood"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (9, 4), }", "not understood"},
        {"{'descr': '<f4', 'fortran_order': False}", "not understood"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (9, 4)}", "not understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9, 4)", "not understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807)}",
         "2^63"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9, 5)}",
         "(9 rows of 5 columns) makes"},
        {"", "not understood"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t bytes = npy_header(header, 1, bad[i].text);
        put_raw("y.npy", header, bytes, LLOYD_F32, 0, 0, 9, 4);
        bad_wrap("y.npy", bad[i].word, NULL);
    }
    put_bytes("y.npy", "\x93NUMPY\4\0xxxxxx", 14);
    bad_wrap("y.npy", "does not begin", NULL);
    put_bytes("y.npy", "\x93NUMPY\2\0\xff\xff\xff\xffxxx", 15);
    bad_wrap("y.npy", "cut off", NULL);
}

/* Random changes to a good header: the sanitizers watch, and what is accepted must be in bounds. */
static void wrap_fuzz(void **state)
{
    (void)state;
    static const char good[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (9, 4), }   \n";
    char header[128];
    size_t bytes = npy_header(header, 1, good);
    uint32_t random = 1;
    for (int round = 0; round < 100000; round++) {
        unsigned char *copy = malloc(bytes); /* exactly as large, for the sanitizer */
        memcpy(copy, header, bytes);
        for (int change = 0; change < 1 + round % 4; change++) {
            random = random * 1664525U + 1013904223U;
            copy[(random >> 8) % bytes] =
                (unsigned char)((random >> 24) % 2 ? good[(random >> 16) % 60]
                                                   : (char)(random >> 24));
        }
        lloyd_raw raw;
        size_t given = round % 3 ? bytes : (random >> 4) % bytes;
        if (lloyd_raw_npy(copy, given, "fuzz", &raw) == LLOYD_OK) {
            assert_true(raw.rows > 0 && raw.columns > 0 && raw.offset > 0 && raw.bytes > 0);
            assert_true(raw.offset <= (int64_t)given);
        }
        (void)lloyd_raw_bin(copy, given, LLOYD_U8, "fuzz", &raw);
        free(copy);
    }
}

/* More than 2^32 bytes, in a file with a hole. */
static void wrap_large(void **state)
{
    (void)state;
    int64_t n = 50000000, d = 100;
    unsigned char header[8] = {0};
    for (int i = 0; i < 4; i++) {
        header[i] = (unsigned char)(n >> (8 * i) & 0xff);
        header[4 + i] = (unsigned char)(d >> (8 * i) & 0xff);
    }
    put_bytes("big.u8bin", header, 8);
    int descriptor = open("big.u8bin", O_WRONLY);
    assert_true(descriptor >= 0);
    assert_int_equal(pwrite(descriptor, "\1\2\3", 3, (off_t)(8 + n * d - 3)), 3);
    close(descriptor);
    int64_t rows, columns;
    const char *name;
    assert_int_equal(lloyd_wrap("big.u8bin", fresh("big.h5"), &rows, &columns, &name), LLOYD_OK);
    assert_int_equal(lloyd_output_commit(out("big.h5")), LLOYD_OK);
    lloyd_rows *wrapped = open_one("big.h5");
    uint8_t row[100];
    assert_int_equal(lloyd_rows_read(wrapped, n - 1, 1, row), LLOYD_OK);
    assert_true(row[96] == 0 && row[97] == 1 && row[99] == 3);
    lloyd_rows_close(wrapped);
}

/* ---- synth, wrap and info as commands ---------------------------------------------------- */

/* Runs `lloyd info` and returns what it prints; free with free(). */
static char *info_text(const char *file, lloyd_status expected)
{
    lloyd_comm *comm;
    size_t bytes;
    assert_int_equal(lloyd_comm_self(&comm), LLOYD_OK);
    fflush(stdout);
    int saved = dup(1), out = open("info.txt", O_CREAT | O_WRONLY | O_TRUNC, 0644);
    dup2(out, 1);
    lloyd_status status = lloyd_info(comm, file);
    fflush(stdout);
    dup2(saved, 1);
    close(saved), close(out);
    comm->destroy(comm);
    if (status != expected) fail_msg("%s", lloyd_message());
    char *text = get_bytes("info.txt", &bytes);
    if (getenv("SHOW_MESSAGES")) printf("%s", text);
    return text;
}

static void check_info(const char *file, const char *a, const char *b, const char *c)
{
    char *text = info_text(file, LLOYD_OK);
    const char *words[3] = {a, b, c};
    for (int i = 0; i < 3; i++)
        if (words[i] && !strstr(text, words[i])) fail_msg("'%s' is not in:\n%s", words[i], text);
    free(text);
}

static void synth(void **state)
{
    (void)state;
    static const char *const types[] = {"float32", "float16", "bfloat16", "uint8", "int8"};
    lloyd_comm *comm;
    assert_int_equal(lloyd_comm_self(&comm), LLOYD_OK);
    lloyd_synth_options options = {.rows = 3000,
                                   .dim = 50,
                                   .clusters = 1,
                                   .seed = 9,
                                   .output = "s.h5"};
    for (int t = LLOYD_F32; t <= LLOYD_I8; t++) {
        options.type = types[t];
        if (lloyd_synth(comm, &options) != LLOYD_OK) fail_msg("%s", lloyd_message());
        lloyd_rows *rows = open_one("s.h5:/train");
        assert_int_equal(lloyd_rows_type(rows), t);
        char *data = malloc(3000 * 50 * 4);
        assert_int_equal(lloyd_rows_read(rows, 0, 3000, data), LLOYD_OK);
        double sigma = t >= LLOYD_U8 ? 12 : 1;
        for (int j = 0; j < 50; j++) { /* one cluster: a column is a Gaussian */
            double sum = 0, squares = 0;
            for (int i = 0; i < 3000; i++) {
                double x = (double)element((lloyd_type)t, data, i * 50 + j);
                sum += x, squares += x * x;
            }
            double mean = sum / 3000, spread = sqrt(squares / 3000 - mean * mean);
            assert_true(spread > 0.9 * sigma && spread < 1.1 * sigma);
            assert_true(t == LLOYD_U8   ? mean > 39 && mean < 216
                        : t == LLOYD_I8 ? fabs(mean) < 89
                                        : fabs(mean) < 10.2);
        }
        free(data);
        lloyd_rows_close(rows);
    }
    size_t a, b;
    options.clusters = 7;
    options.rows = 200;
    assert_int_equal(lloyd_synth(comm, &options), LLOYD_OK);
    char *one = get_bytes("s.h5", &a);
    assert_int_equal(lloyd_synth(comm, &options), LLOYD_OK);
    char *two = get_bytes("s.h5", &b);
    assert_int_equal(a, b);
    assert_memory_equal(one, two, a);
    free(one), free(two);
    lloyd_synth_options bad = options;
    bad.rows = 0;
    check_failed(lloyd_synth(comm, &bad), LLOYD_USAGE, "--rows", NULL, NULL);
    bad = options, bad.dim = 0;
    check_failed(lloyd_synth(comm, &bad), LLOYD_USAGE, "--dim", NULL, NULL);
    bad = options, bad.clusters = -1;
    check_failed(lloyd_synth(comm, &bad), LLOYD_USAGE, "--clusters", NULL, NULL);
    bad = options, bad.type = "int64";
    check_failed(lloyd_synth(comm, &bad), LLOYD_USAGE, "int64", "bfloat16", NULL);
    bad = options, bad.rows = INT64_MAX / 2;
    check_failed(lloyd_synth(comm, &bad), LLOYD_USAGE, "more than a file", NULL, NULL);
    bad = options, bad.output = "none/x.h5";
    check_failed(lloyd_synth(comm, &bad), LLOYD_FAILED, "none/x.h5", NULL, NULL);
    comm->destroy(comm);
}

/* The first elements of a dataset, fixed: the generator must never change. */
static void synth_known(void **state)
{
    (void)state;
    lloyd_comm *comm;
    assert_int_equal(lloyd_comm_self(&comm), LLOYD_OK);
    lloyd_synth_options options =
        {.rows = 10, .dim = 6, .clusters = 4, .type = "float32", .seed = 42, .output = "k.h5"};
    assert_int_equal(lloyd_synth(comm, &options), LLOYD_OK);
    lloyd_rows *rows = open_one("k.h5");
    float data[60];
    assert_int_equal(lloyd_rows_read(rows, 0, 10, data), LLOYD_OK);
    lloyd_rows_close(rows);
    uint32_t bits[60], hash = 2166136261U;
    memcpy(bits, data, sizeof bits);
    for (int i = 0; i < 60; i++) hash = (hash ^ bits[i]) * 16777619U;
    if (hash != 0x5ea18fe6U) fail_msg("0x%08x %a %a", hash, (double)data[0], (double)data[59]);
    comm->destroy(comm);
}

static void info(void **state)
{
    (void)state;
    lloyd_comm *comm;
    assert_int_equal(lloyd_comm_self(&comm), LLOYD_OK);
    put("x.h5", "x", float_type(8, 11, 52, 1023, H5T_ORDER_LE), chunks(10, 4, 1), 2, 1234, 4, 0);
    check_info("x.h5", "1,234 rows x 4 columns of float32 (float64 is rounded)",
               "chunks of 10 x 4, shuffle, deflate", "-100 to 100, mean");
    put_f32("y.h5", "x", 3, 2, 0);
    hid_t file = H5Fopen("y.h5", H5F_ACC_RDWR, H5P_DEFAULT),
          dataset = H5Dopen2(file, "x", H5P_DEFAULT);
    float data[6] = {0, 0, 1, INFINITY, 2, 3};
    H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    H5Dclose(dataset), H5Fclose(file);
    check_info("y.h5", "1 values are NaN or infinite, the first in y.h5:/x row 1", "zero rows    1",
               "0 to 3");
    check_info("[x].h5:x", "Vectors", NULL, NULL);
    float centroids[4] = {1, 2, 3, 4};
    int64_t counts[2] = {0, 700}, moved[30];
    double inertia[30], seconds[30];
    for (int i = 0; i < 30; i++) moved[i] = 1000 - i, inertia[i] = 100 - i, seconds[i] = 0.5;
    lloyd_model model = {.n = 700,
                         .d = 2,
                         .k = 2,
                         .centroids = centroids,
                         .counts = counts,
                         .iterations = 30,
                         .inertia = inertia,
                         .moved = moved,
                         .seconds = seconds,
                         .version = "0.1.0",
                         .ranks = 2,
                         .backend = "cpu"};
    assert_int_equal(lloyd_model_write(fresh("m.h5"), &model, 0), LLOYD_OK);
    assert_int_equal(lloyd_output_commit(out("m.h5")), LLOYD_OK);
    check_info("m.h5", "Model: 2 centroids x 2 columns", "largest 700 rows; 1 empty", "...");
    check_info("m.h5:centroids", "Vectors: 2 rows x 2 columns", "1 to 4, mean 2.5", NULL);
    int32_t labels[5] = {3, 1, 3, 3, 0};
    put_array(begun("l.h5"), "/labels", LLOYD_ARRAY_I32, labels, 5, 0, 4, 5);
    assert_int_equal(lloyd_output_commit(out("l.h5")), LLOYD_OK);
    check_info("l.h5", "Labels: of 5 rows", "3 distinct, from 0 to 3", "cluster 3, 3 rows");
    put_raw("r.fbin", "\2\0\0\0\2\0\0\0", 8, LLOYD_F32, 0, 0, 2, 2);
    assert_int_equal(lloyd_wrap_file(comm, "r.fbin", "r.h5", 0), LLOYD_OK);
    check_info("r.h5", "external, in r.fbin", NULL, NULL);
    const char *sources[] = {"y.h5"};
    put_virtual("v.h5", 1, sources, 3, 2, 0, 3);
    check_info("v.h5", "virtual, 1 source", NULL, NULL);
    free(info_text("gone.h5", LLOYD_BAD_INPUT));
    check_failed(lloyd_wrap_file(comm, "gone.fbin", "w.h5", 0), LLOYD_BAD_INPUT, "gone.fbin", NULL,
                 NULL);
    comm->destroy(comm);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, close_outputs)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(base_memory),
        TEST(base_half),
        TEST(rows_types_and_storage),
        TEST(rows_float64),
        TEST(rows_decode_once),
        TEST(rows_names),
        TEST(rows_many_files),
        TEST(rows_several_inputs),
        TEST(rows_bad_files),
        TEST(rows_damaged_chunk),
        TEST(rows_bad_types),
        TEST(rows_bad_shapes),
        TEST(rows_weights),
        TEST(rows_external),
        TEST(rows_virtual),
        TEST(rows_virtual_whole),
        TEST(output_check),
        TEST(output_array),
        TEST(output_same_bytes),
        TEST(output_array_edges),
        TEST(output_large),
        TEST(model_round_trip),
        TEST(model_from_elsewhere),
        TEST(wrap_bin),
        TEST(wrap_npy),
        TEST(wrap_fuzz),
        TEST(wrap_large),
        TEST(synth),
        TEST(synth_known),
        TEST(info),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
