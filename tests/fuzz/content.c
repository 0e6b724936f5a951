/* See content.h. What a file costs decides how many inputs are tried, so
 *   - the file lies in memory, where the machine has a folder there (lloyd and HDF5 open it by name);
 *   - HDF5 keeps the memory that it frees: it clears half a megabyte for every file it opens, which
 *     otherwise comes from the system each time, and page by page;
 *   - property lists that do not depend on the input are made once;
 *   - the sanitizer keeps less of what was freed, and of where it came from.
 */
#include "content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Sizes that no memory has are an error of lloyd_alloc(), not of the sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:allocator_release_to_os_interval_ms=-1:quarantine_size_mb="
           "8:malloc_context_size=8";
}

unsigned take(bytes *b)
{
    return b->at < b->end ? *b->at++ : 0;
}

void *content(bytes *b, size_t size)
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

/* Extents that are larger than any memory, and one that is only larger than the others, even squared: a
 * mutator likes 255, and to clear megabytes costs more than all the rest. */
static const int vast_bits[5] = {33, 59, 46, 33, 7};

static hid_t take_space(bytes *b, int *rank, hsize_t *extent, int vast)
{
    unsigned shape = take(b) % 8;
    *rank = (int)(shape % 4);
    if (shape == 4) return H5Screate(H5S_NULL);
    if (*rank == 0) return H5Screate(H5S_SCALAR);
    for (int i = 0; i < *rank; i++) {
        unsigned size = take(b);
        extent[i] = vast && size > 250 ? (hsize_t)1 << vast_bits[size - 251] : size % 6;
    }
    return H5Screate_simple(*rank, extent, NULL);
}

/* Bytes of the elements. */
static size_t all_bytes(hid_t space, hid_t type)
{
    return (size_t)H5Sget_simple_extent_npoints(space) * H5Tget_size(type);
}

/* Small enough to be written. HDF5's number of elements is no help: vast extents overflow it to 0, and
 * writing "none" of them does not end. */
static int is_small(hid_t space, hid_t type)
{
    hsize_t extent[H5S_MAX_RANK];
    uint64_t size = H5Tget_size(type);
    int rank = H5Sget_simple_extent_dims(space, extent, NULL);
    for (int i = 0; i < rank; i++)
        if (__builtin_mul_overflow(size, extent[i], &size)) return 0;
    return rank >= 0 && size <= 4096;
}

/* Types whose elements are bytes, not pointers. */
static int is_flat(hid_t type)
{
    return H5Tdetect_class(type, H5T_VLEN) <= 0 && H5Tis_variable_str(type) <= 0 &&
           H5Tget_class(type) != H5T_REFERENCE;
}

enum { CONTIGUOUS, COMPACT, CHUNKED, DEFLATED, EXTERNAL, LAYOUTS = 6 };

/* Close with H5Pclose(). */
static hid_t take_creation(bytes *b, int rank, const hsize_t *extent, unsigned *layout)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    *layout = take(b) % LAYOUTS;
    hsize_t chunk[3];
    for (int i = 0; i < rank && i < 3; i++)
        chunk[i] = extent[i] < 3 ? 1 : extent[i] < 200 ? 3 : (hsize_t)1 << 24;
    if (*layout == COMPACT) H5Pset_layout(creation, H5D_COMPACT);
    if ((*layout == CHUNKED || *layout == DEFLATED) && rank > 0)
        H5Pset_chunk(creation, rank, chunk);
    if (*layout == DEFLATED) H5Pset_deflate(creation, 1);
    if (*layout == EXTERNAL) H5Pset_external(creation, "nowhere.bin", 0, H5F_UNLIMITED);
    return creation;
}

static hid_t with_groups(void)
{
    static hid_t links = H5I_INVALID_HID;
    if (links < 0) {
        links = H5Pcreate(H5P_LINK_CREATE);
        H5Pset_create_intermediate_group(links, 1);
    }
    return links;
}

void write_content(bytes *b, hid_t set)
{
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    if (is_small(space, type) && is_flat(type)) {
        void *data = content(b, all_bytes(space, type));
        if (data) H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
        free(data);
    }
    H5Sclose(space), H5Tclose(type);
}

void add_dataset(bytes *b, hid_t file, const char *name)
{
    hsize_t extent[3] = {0, 0, 0};
    int rank = 0;
    unsigned layout = CONTIGUOUS;
    hid_t type = take_type(b), space = take_space(b, &rank, extent, 1),
          creation = take_creation(b, rank, extent, &layout);
    hid_t set = H5Dcreate2(file, name, type, space, with_groups(), creation, H5P_DEFAULT);
    if (set >= 0 && layout != EXTERNAL) write_content(b, set);
    if (set >= 0) H5Dclose(set);
    H5Pclose(creation), H5Sclose(space), H5Tclose(type);
}

void add_attribute(bytes *b, hid_t file, const char *name)
{
    hsize_t extent[3] = {0, 0, 0};
    int rank = 0;
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

static char path[4096];

static void remove_file(void)
{
    unlink(path);
}

/* TMPDIR where it is set, else a folder in memory where there is one. */
static int make_file(void)
{
    const char *folder = getenv("TMPDIR");
    if (!folder) folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, sizeof path, "%s/lloyd-fuzz-XXXXXX", folder);
    atexit(remove_file);
    return mkstemp(path);
}

const char *fuzz_file(int *descriptor)
{
    enum { KEPT = 64 << 20 }; /* bytes, of each kind of list */
    static int file = -1;
    if (file < 0) {
        file = make_file();
        if (file < 0) abort();
        H5set_free_list_limits(KEPT, KEPT, KEPT, KEPT, KEPT, KEPT);
    }
    if (descriptor) *descriptor = file;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return path;
}

hid_t fuzz_access(void)
{
    static hid_t access_list = H5I_INVALID_HID;
    if (access_list < 0) {
        access_list = H5Pcreate(H5P_FILE_ACCESS);
        H5Pset_libver_bounds(access_list, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST);
    }
    return access_list;
}

hsize_t open_objects(void)
{
    static const H5I_type_t types[] = {H5I_FILE,    H5I_GROUP, H5I_DATATYPE,   H5I_DATASPACE,
                                       H5I_DATASET, H5I_ATTR,  H5I_GENPROP_LST};
    hsize_t all = 0, count = 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (H5Inmembers(types[i], &count) >= 0) all += count;
    return all;
}
