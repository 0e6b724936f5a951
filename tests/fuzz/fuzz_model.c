/* Models whose content is arbitrary in files that are whole: the input is a list of datasets and
 * attributes, of any name, type, shape and layout, and HDF5 makes a file in memory of it. (Files that
 * are damaged are tests/unit/test_hostile.c's: there HDF5 itself may fail, which would end a search
 * here.) What is accepted must be a model, and nothing of HDF5 may stay open. */
#include "io/output.h"

#include <hdf5.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Sizes that no memory has are an error of lloyd_alloc(), not of the sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

typedef struct bytes {
    const uint8_t *at, *end;
} bytes;

static unsigned take(bytes *b)
{
    return b->at < b->end ? *b->at++ : 0;
}

/* The next bytes as content, zeros behind them; free with free(). */
static void *content(bytes *b, size_t size)
{
    char *data = calloc(size + 1, 1);
    size_t have = (size_t)(b->end - b->at);
    if (data && have > 0) memcpy(data, b->at, have < size ? have : size);
    b->at += have < size ? have : size;
    return data;
}

enum { SIMPLE_TYPES = 10, TYPES = 17 };

static hid_t take_type(bytes *b)
{
    const hid_t simple[SIMPLE_TYPES] = {H5T_IEEE_F32LE, H5T_IEEE_F32BE, H5T_IEEE_F64LE,
                                        H5T_STD_I64LE,  H5T_STD_U64BE,  H5T_STD_I32LE,
                                        H5T_STD_U8LE,   H5T_STD_I16BE,  H5T_STD_B8LE,
                                        H5T_STD_REF_OBJ};
    unsigned choice = take(b) % TYPES;
    if (choice < SIMPLE_TYPES) return H5Tcopy(simple[choice]);
    hid_t type;
    hsize_t three = 3;
    signed char zero = 0;
    switch (choice) {
    case 10:
        type = H5Tcopy(H5T_C_S1);
        H5Tset_size(type, 1 + take(b) % 20);
        H5Tset_strpad(type, take(b) % 2 ? H5T_STR_NULLPAD : H5T_STR_SPACEPAD);
        return type;
    case 11: return H5Tvlen_create(H5T_NATIVE_FLOAT);
    case 12: return H5Tarray_create2(H5T_NATIVE_FLOAT, 1, &three);
    case 13:
        type = H5Tenum_create(H5T_NATIVE_INT8);
        H5Tenum_insert(type, "ZERO", &zero);
        return type;
    case 14:
        type = H5Tcreate(H5T_COMPOUND, 8);
        H5Tinsert(type, "a", 0, H5T_NATIVE_FLOAT);
        return type;
    case 15: return H5Tcreate(H5T_OPAQUE, 1 + take(b) % 9);
    default:
        type = H5Tcopy(H5T_C_S1);
        H5Tset_size(type, H5T_VARIABLE);
        return type;
    }
}

static hid_t take_space(bytes *b, int *rank, hsize_t *extent, int vast)
{
    unsigned shape = take(b) % 8;
    *rank = (int)(shape % 4);
    if (shape == 4) return H5Screate(H5S_NULL);
    if (*rank == 0) return H5Screate(H5S_SCALAR);
    for (int i = 0; i < *rank; i++) {
        unsigned size = take(b);
        extent[i] = vast && size > 250 ? (hsize_t)1 << (size % 4 * 13 + 20) : size % 6;
    }
    return H5Screate_simple(*rank, extent, NULL);
}

/* Bytes of the elements. */
static size_t all_bytes(hid_t space, hid_t type)
{
    return (size_t)H5Sget_simple_extent_npoints(space) * H5Tget_size(type);
}

/* Small enough to be written. */
static int is_small(hid_t space, hid_t type)
{
    return H5Sget_simple_extent_npoints(space) <= 4096 / (hssize_t)H5Tget_size(type);
}

/* Types whose elements are bytes, not pointers. */
static int is_flat(hid_t type)
{
    return H5Tdetect_class(type, H5T_VLEN) <= 0 && H5Tis_variable_str(type) <= 0 &&
           H5Tget_class(type) != H5T_REFERENCE;
}

static hid_t take_creation(bytes *b, int rank, const hsize_t *extent)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    unsigned layout = take(b) % 6;
    hsize_t chunk[3];
    for (int i = 0; i < rank && i < 3; i++) chunk[i] = extent[i] < 1 ? 1 : extent[i] < 3 ? 1 : 3;
    if (layout == 1) H5Pset_layout(creation, H5D_COMPACT);
    if ((layout == 2 || layout == 3) && rank > 0) H5Pset_chunk(creation, rank, chunk);
    if (layout == 3) H5Pset_deflate(creation, 1);
    if (layout == 4) H5Pset_external(creation, "nowhere.bin", 0, H5F_UNLIMITED);
    return creation;
}

static void add_dataset(bytes *b, hid_t file)
{
    static const char *const names[] = {"/centroids",     "/counts",          "/history/inertia",
                                        "/history/moved", "/history/seconds", "/history"};
    hsize_t extent[3] = {0, 0, 0};
    int rank = 0;
    const char *name = names[take(b) % 6];
    hid_t type = take_type(b), space = take_space(b, &rank, extent, 1),
          creation = take_creation(b, rank, extent), links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    hid_t set = H5Dcreate2(file, name, type, space, links, creation, H5P_DEFAULT);
    if (set >= 0 && is_small(space, type) && is_flat(type) &&
        H5Pget_external_count(creation) == 0) {
        void *data = content(b, all_bytes(space, type));
        if (data) H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
        free(data);
    }
    if (set >= 0) H5Dclose(set);
    H5Pclose(links), H5Pclose(creation), H5Sclose(space), H5Tclose(type);
}

static void add_attribute(bytes *b, hid_t file)
{
    static const char *const names[] = {"n",       "seed",    "inertia", "converged", "ranks",
                                        "version", "options", "backend", "metric",    "inputs"};
    hsize_t extent[3] = {0, 0, 0};
    int rank = 0;
    const char *name = names[take(b) % 10];
    hid_t type = take_type(b), space = take_space(b, &rank, extent, 0);
    hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    void *data = content(b, is_flat(type) && is_small(space, type) ? all_bytes(space, type) : 8);
    if (attribute >= 0 && data && is_flat(type) && is_small(space, type))
        H5Awrite(attribute, type, data);
    if (attribute >= 0 && data && H5Tis_variable_str(type) > 0 &&
        H5Sget_simple_extent_npoints(space) == 1)
        H5Awrite(attribute, type, &data);
    free(data);
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space), H5Tclose(type);
}

/* The file, the same for all inputs. */
static char path[4096];

static void remove_file(void)
{
    unlink(path);
}

static void name_file(void)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/lloyd-fuzz-%d.h5", folder ? folder : "/tmp", (int)getpid());
    atexit(remove_file);
}

/* Writes the file, which HDF5 makes in memory. */
static void make_file(bytes b)
{
    hid_t access_list = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access_list, 1 << 14, 0);
    hid_t file = H5Fcreate("fuzz", H5F_ACC_TRUNC, H5P_DEFAULT, access_list);
    H5Pclose(access_list);
    for (int i = 0; i < 20 && b.at < b.end; i++) {
        if (take(&b) % 2) {
            add_attribute(&b, file);
        } else {
            add_dataset(&b, file);
        }
    }
    H5Fflush(file, H5F_SCOPE_GLOBAL);
    ssize_t size = H5Fget_file_image(file, NULL, 0);
    char *image = size > 0 ? malloc((size_t)size) : NULL;
    FILE *out = fopen(path, "wb");
    if (!out || !image || H5Fget_file_image(file, image, (size_t)size) != size ||
        fwrite(image, 1, (size_t)size, out) != (size_t)size || fclose(out) != 0)
        abort();
    free(image);
    H5Fclose(file);
}

static void check(const lloyd_model *m)
{
    if (m->k < 1 || m->d < 1 || !m->centroids || !m->version || !m->command || !m->options ||
        !m->backend || m->iterations < 0 || m->input_count < 0)
        abort();
    for (int64_t i = 0; i < m->k * m->d; i++)
        if (!isfinite(m->centroids[i])) abort();
    volatile double sum = 0; /* reads all that there is, under the sanitizer's eyes */
    for (int64_t i = 0; m->counts && i < m->k; i++) sum = sum + (double)m->counts[i];
    for (int64_t i = 0; i < m->iterations; i++)
        sum = sum + m->inertia[i] + (m->moved ? (double)m->moved[i] : 0) +
              (m->seconds ? m->seconds[i] : 0);
    for (int i = 0; i < m->input_count; i++) sum = sum + (double)strlen(m->inputs[i]);
}

static hsize_t open_objects(void)
{
    static const H5I_type_t types[] = {H5I_FILE,    H5I_GROUP, H5I_DATATYPE,   H5I_DATASPACE,
                                       H5I_DATASET, H5I_ATTR,  H5I_GENPROP_LST};
    hsize_t all = 0, count = 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (H5Inmembers(types[i], &count) >= 0) all += count;
    return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lloyd_model model;
    if (!*path) name_file();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    make_file((bytes){data, data + size});
    hsize_t before = open_objects();
    lloyd_status status = lloyd_model_read(path, &model);
    if (status == LLOYD_OK) {
        check(&model);
        lloyd_model_free(&model);
    } else {
        if (getenv("SHOW_MESSAGES")) fprintf(stderr, "%s\n", lloyd_message());
        if ((status != LLOYD_BAD_INPUT && status != LLOYD_FAILED) || lloyd_message()[0] == '\0')
            abort();
    }
    if (open_objects() != before) abort();
    return 0;
}
