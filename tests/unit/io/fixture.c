/* See fixture.h. */
#include "fixture.h"

#include "base/half.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char home[4096];

float sample(int64_t row, int64_t column, int is_unsigned)
{
    return (float)((row * 31 + column * 7) % 201 - (is_unsigned ? 0 : 100));
}

hid_t float_type(size_t size, size_t exponent_bits, size_t fraction_bits, size_t bias,
                 H5T_order_t order)
{
    hid_t type = H5Tcopy(size == 8 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE);
    H5Tset_fields(type, 8 * size - 1, fraction_bits, exponent_bits, 0, fraction_bits);
    H5Tset_size(type, size);
    H5Tset_ebias(type, bias);
    H5Tset_order(type, order);
    return type;
}

hid_t file_type(lloyd_type type, H5T_order_t order)
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

hid_t open_or_create(const char *path)
{
    if (access(path, F_OK) == 0) return H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    return H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT);
}

void put(const char *path, const char *name, hid_t type, hid_t creation, int rank, int64_t n,
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

hid_t chunks(int64_t rows, int64_t columns, int deflate)
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

void put_f32(const char *path, const char *name, int64_t n, int64_t d, int64_t first)
{
    put(path, name, file_type(LLOYD_F32, H5T_ORDER_LE), H5P_DEFAULT, 2, n, d, first);
}

void put_bytes(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    fclose(file);
}

char *get_bytes(const char *path, size_t *bytes)
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

float element(lloyd_type type, const void *data, int64_t i)
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

lloyd_rows *open_one(const char *input)
{
    lloyd_rows *rows;
    lloyd_status status = lloyd_rows_open(&input, 1, &rows);
    if (status != LLOYD_OK) fail_msg("%s", lloyd_message());
    return rows;
}

void check_rows(lloyd_rows *rows, lloyd_type type, int64_t n, int64_t d, int64_t piece)
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

void bad_input(const char *input, const char *a, const char *b, const char *c)
{
    lloyd_rows *rows;
    check_failed(lloyd_rows_open(&input, 1, &rows), LLOYD_BAD_INPUT, a, b, c);
    assert_null(rows);
}

void bad_read(const char *input, const char *a, const char *b, const char *c)
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

int enter(void **state)
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

void put_virtual(const char *path, int count, const char *const *files, int64_t each, int64_t d,
                 int64_t from, int64_t source_rows)
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
/* Outputs by name, so that those who write and those who complete one mean the same partial
 * file. */
static lloyd_output outputs[8];

lloyd_output *out(const char *path)
{
    int i = 0;
    while (i < 7 && outputs[i].path && strcmp(outputs[i].path, path) != 0) i++;
    if (outputs[i].path && strcmp(outputs[i].path, path) != 0) lloyd_output_close(&outputs[i]);
    if (!outputs[i].path && lloyd_output_open(path, 1, &outputs[i]) != LLOYD_OK)
        fail_msg("%s", lloyd_message());
    return &outputs[i];
}

lloyd_output *fresh(const char *path)
{
    lloyd_output_discard(out(path));
    return out(path);
}

int close_outputs(void **state)
{
    for (int i = 0; i < 8; i++) lloyd_output_close(&outputs[i]);
    return leave(state);
}

void put_array(const lloyd_output *output, const char *name, lloyd_array_type type,
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

lloyd_output *begun(const char *path)
{
    lloyd_output *output = fresh(path);
    assert_int_equal(lloyd_output_create(output, "labels", 0), LLOYD_OK);
    return output;
}

static void put_element(FILE *file, lloyd_type type, int wide, int big, float value)
{
    double w = (double)value;
    uint16_t half = type == LLOYD_BF16 ? lloyd_bf16_from_float(value) : lloyd_f16_from_float(value);
    uint8_t byte = type == LLOYD_U8 ? (uint8_t)value : (uint8_t)(int8_t)value;
    size_t size = wide ? 8 : lloyd_type_size(type);
    const unsigned char *from = wide        ? (void *)&w
                                : size == 4 ? (void *)&value
                                : size == 2 ? (void *)&half
                                            : (void *)&byte;
    for (size_t b = 0; b < size; b++) fputc(from[big ? size - 1 - b : b], file);
}

const char *put_raw(const char *path, const void *header, size_t header_bytes, lloyd_type type,
                    int wide, int big, int64_t n, int64_t d)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(header, 1, header_bytes, file);
    for (int64_t i = 0; i < n * d; i++)
        put_element(file, type, wide, big, sample(i / d, i % d, type == LLOYD_U8));
    fclose(file);
    return path;
}

void put_raw_at(const char *path, const void *header, size_t header_bytes, lloyd_type type,
                int64_t first, int64_t n, int64_t d)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(header, 1, header_bytes, file);
    for (int64_t i = 0; i < n * d; i++)
        put_element(file, type, 0, 0, sample(first + i / d, i % d, type == LLOYD_U8));
    fclose(file);
}

void put_vecs(const char *path, lloyd_type type, int64_t first, int64_t n, int64_t d)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int64_t i = 0; i < n; i++) {
        for (int b = 0; b < 4; b++) fputc((int)(d >> (8 * b) & 0xff), file);
        for (int64_t j = 0; j < d; j++)
            put_element(file, type, 0, 0, sample(first + i, j, type == LLOYD_U8));
    }
    fclose(file);
}

size_t npy_header(char *out, int version, const char *text)
{
    size_t start = version == 1 ? 10 : 12, length = strlen(text);
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (char)version;
    out[7] = 0;
    for (size_t i = 0; i + 8 < start; i++) out[8 + i] = (char)(length >> (8 * i) & 0xff);
    memcpy(out + start, text, length);
    return start + length;
}
