/* Storage layouts: the chunk cache they need, and the files they point to. External names are taken
 * relative to the HDF5 file where that finds them, because a pair of files that is moved or read
 * from elsewhere should keep working, and otherwise relative to the current directory, HDF5's
 * default. */
#include "io/hdf5/storage.h"

#include "base/log.h"
#include "base/memory.h"
#include "io/hdf5/cover.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/names.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNKS_A_CALL = 1024,
    CHUNK_RECORD = 12 << 10, /* bytes that HDF5 1.10 needs per chunk during a call, rounded up */
    CHUNK_INDEX = 4 << 20    /* and for its cache of the index that finds the chunks */
};
static const int64_t CACHE_MAX = (int64_t)1 << 30, CACHE_MIN = (int64_t)1 << 20,
                     READ_MAX = (int64_t)256 << 20;

static lloyd_status no_memory(const char *path)
{
    return lloyd_fail(LLOYD_FAILED, "cannot look at the storage of %s: out of memory", path);
}

/* The prefix of external names that HDF5 is to use; the environment variable wins, as in HDF5. */
static const char *external_prefix(int beside)
{
    const char *given = getenv("HDF5_EXTFILE_PREFIX");
    return given ? given : beside ? "${ORIGIN}" : "";
}

/* The property list for opening: chunk cache, and where external files are. */
static hid_t dataset_access(const lloyd_storage *storage)
{
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    if (storage->cache_bytes)
        H5Pset_chunk_cache(access, storage->cache_slots, storage->cache_bytes, 1.0);
    if (storage->beside) H5Pset_efile_prefix(access, "${ORIGIN}");
    H5Pset_virtual_printf_gap(access, LLOYD_HOLES);
    return access;
}

/* Why a dataset that an external link leads to could not be opened: the other file is missing, or
 * in use. */
static lloyd_status explain_link(hid_t file, const char *path, const char *name)
{
    const char *other = NULL, *inside = NULL;
    unsigned flags;
#if H5_VERSION_GE(1, 12, 0)
    H5L_info2_t info;
    int external =
        H5Lget_info2(file, name, &info, H5P_DEFAULT) >= 0 && info.type == H5L_TYPE_EXTERNAL;
#else
    H5L_info_t info;
    int external =
        H5Lget_info(file, name, &info, H5P_DEFAULT) >= 0 && info.type == H5L_TYPE_EXTERNAL;
#endif
    char *value = external ? malloc(info.u.val_size) : NULL;
    lloyd_status status = LLOYD_OK;
    if (value && H5Lget_val(file, name, value, info.u.val_size, H5P_DEFAULT) >= 0 &&
        H5Lunpack_elink_val(value, info.u.val_size, &flags, &other, &inside) >= 0) {
        char *whole = lloyd_names_prefixed(path, "${ORIGIN}", other);
        status = whole ? lloyd_h5_check_unused(lloyd_names_file_bytes(whole) >= 0 ? whole : other)
                       : no_memory(path);
        free(whole);
        if (status == LLOYD_OK)
            status = lloyd_fail(LLOYD_BAD_INPUT,
                                "cannot open dataset %s of %s: it is a link to %s of %s, which is "
                                "missing or damaged; put it back",
                                name, path, inside, other);
    }
    free(value);
    return status;
}

lloyd_status lloyd_storage_reopen(hid_t file, const char *path, const char *name,
                                  const lloyd_storage *storage, hid_t *dataset)
{
    hid_t access = dataset_access(storage);
    *dataset = H5Dopen2(file, name, access);
    char text[256];
    if (*dataset < 0) lloyd_h5_reason(text, sizeof text);
    H5Pclose(access);
    if (*dataset >= 0) return LLOYD_OK;
    LLOYD_TRY(explain_link(file, path, name));
    const char *newer =
        strstr(text, "version")
            ? "; it was written by a newer HDF5 in its latest format, h5repack makes an older one"
            : "";
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot open dataset %s of %s: %s%s", name, path, text,
                      newer);
}

/* Bytes of all elements of a dataset as stored, saturated. */
static int64_t dataset_bytes(hid_t dataset)
{
    hsize_t extent[H5S_MAX_RANK];
    int rank = 0;
    if (lloyd_h5_shape(dataset, "", H5S_MAX_RANK, &rank, extent) != LLOYD_OK) return INT64_MAX;
    hid_t type = H5Dget_type(dataset);
    uint64_t bytes = H5Tget_size(type);
    H5Tclose(type);
    for (int i = 0; i < rank; i++) {
        if (__builtin_mul_overflow(bytes, extent[i], &bytes)) return INT64_MAX;
    }
    return bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
}

/* Repacking needs the filter as well: h5repack leaves out what it cannot read. */
static lloyd_status refuse_filter(H5Z_filter_t filter, const char *text, const char *path,
                                  const char *name)
{
    enum { LZF = 32000 }; /* it comes with h5py */
    char how[LLOYD_MESSAGE_BYTES / 2];
    lloyd_h5_conversion(path, name, filter == LZF ? "h5py" : "hdf5plugin, h5py", "x[:]", how,
                        sizeof how);
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read dataset %s of %s: it is compressed with HDF5 filter %d%s%s%s, which is not installed; set "
        "HDF5_PLUGIN_PATH to the directory of its plugin, or write it once more without, with %s",
        name, path, (int)filter, *text ? " (" : "", text, *text ? ")" : "", how);
}

static lloyd_status check_filters(hid_t creation, const char *path, const char *name)
{
    int count = H5Pget_nfilters(creation);
    for (int i = 0; i < count; i++) {
        char text[64] = "";
        unsigned flags, config = 0;
        size_t values = 0;
        H5Z_filter_t filter = H5Pget_filter2(creation, (unsigned)i, &flags, &values, NULL,
                                             sizeof text, text, &config);
        int available = H5Zfilter_avail(filter) > 0;
        if (available && H5Zget_filter_info(filter, &config) >= 0 &&
            !(config & H5Z_FILTER_CONFIG_DECODE_ENABLED))
            available = 0;
        if (available) continue;
        return refuse_filter(filter, text, path, name);
    }
    return LLOYD_OK;
}

/* Row i of the list of external files: its name (free it), where its data begins and how many
 * bytes it should hold. */
static char *external_file(hid_t creation, unsigned i, int64_t *offset, int64_t *bytes)
{
    char name[PATH_MAX] = "";
    off_t start = 0;
    hsize_t size = 0;
    if (H5Pget_external(creation, i, sizeof name - 1, name, &start, &size) < 0) return NULL;
    *offset = (int64_t)start;
    *bytes = size > INT64_MAX ? INT64_MAX : (int64_t)size;
    return strdup(name);
}

/* Whether external names are to be looked up beside the HDF5 file: not if the first one is only
 * found in the current directory. */
static int lies_beside(hid_t creation, const char *path)
{
    int64_t offset, bytes;
    char *name = external_file(creation, 0, &offset, &bytes);
    char *whole = name ? lloyd_names_prefixed(path, "${ORIGIN}", name) : NULL;
    int beside = name && *name != '/' &&
                 (lloyd_names_file_bytes(whole) >= 0 || lloyd_names_file_bytes(name) < 0);
    free(whole);
    free(name);
    return beside;
}

static lloyd_status check_external(hid_t creation, lloyd_storage *storage, int64_t left,
                                   const char *path, const char *name)
{
    LLOYD_TRY(lloyd_alloc(&storage->extents, storage->external, sizeof *storage->extents,
                          "the list of external files"));
    for (int i = 0; i < storage->external && left > 0; i++) {
        int64_t offset = 0, bytes = 0;
        char *given = external_file(creation, (unsigned)i, &offset, &bytes);
        char *whole =
            given ? lloyd_names_prefixed(path, external_prefix(storage->beside), given) : NULL;
        if (!whole) {
            free(given);
            return no_memory(path);
        }
        int64_t need = bytes < left ? bytes : left, have = lloyd_names_file_bytes(whole);
        storage->extents[i] = (lloyd_extent){whole, offset, need};
        lloyd_status status = LLOYD_OK;
        if (have < 0) {
            status = lloyd_fail(
                LLOYD_BAD_INPUT,
                "cannot read dataset %s of %s: its data lies in the file %s, which is missing; put it back or "
                "name its directory in HDF5_EXTFILE_PREFIX",
                name, path, whole);
        } else if (offset < 0 || have < offset || have - offset < need) {
            status = lloyd_fail(
                LLOYD_BAD_INPUT,
                "cannot read dataset %s of %s: its data lies in the file %s, which has %lld bytes instead of %lld; it was "
                "not copied completely",
                name, path, whole, (long long)have, (long long)(offset + need));
        }
        free(given);
        if (status == LLOYD_OK) status = lloyd_watch_file(storage->watch, whole, -1);
        LLOYD_TRY(status);
        left -= need;
    }
    if (left == 0) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read dataset %s of %s: its external files are %lld bytes too small for it", name,
        path, (long long)left);
}

/* The chunk cache holds one row of chunks, so that reading rows in order, in pieces of any size,
 * decompresses each chunk once. Its table is several times larger than the number of chunks,
 * since two chunks in one slot push each other out. */
static lloyd_status size_cache(lloyd_storage *storage, hid_t creation, hid_t dataset,
                               const char *path, const char *name)
{
    hsize_t chunk[H5S_MAX_RANK] = {0}, extent[2] = {0};
    int rank = 0;
    LLOYD_TRY(lloyd_h5_shape(dataset, name, 2, &rank, extent));
    hid_t type = H5Dget_type(dataset);
    storage->chunk_bytes = type < 0 ? 0 : (int64_t)H5Tget_size(type);
    if (type >= 0) H5Tclose(type);
    if (storage->chunk_bytes <= 0 || H5Pget_chunk(creation, H5S_MAX_RANK, chunk) != rank) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot read how dataset %s of %s is stored; the file may be damaged",
                          name, path);
    }
    for (int i = 0; i < rank; i++)
        storage->chunk_bytes *= (int64_t)chunk[i]; /* HDF5's limit is 4 GiB */
    storage->chunk_rows = (int64_t)chunk[0];
    storage->chunks_across =
        rank < 2 || extent[1] == 0 ? 1 : (int64_t)((extent[1] - 1) / chunk[1] + 1);
    int64_t down = extent[0] == 0 ? 0 : (int64_t)((extent[0] - 1) / chunk[0] + 1);
    if (__builtin_mul_overflow(down, storage->chunks_across, &storage->chunk_count)) {
        storage->chunk_count = INT64_MAX;
    }
    int64_t bytes = CACHE_MAX;
    if (storage->chunks_across <= CACHE_MAX / storage->chunk_bytes)
        bytes = storage->chunks_across * storage->chunk_bytes;
    if (bytes < storage->chunk_bytes) bytes = storage->chunk_bytes;
    storage->cache_bytes = (size_t)(bytes < CACHE_MIN ? CACHE_MIN : bytes);
    size_t slots = 509;
    while (slots < 8 * (size_t)storage->chunks_across && slots < 1U << 22) slots = 2 * slots + 1;
    storage->cache_slots = slots;
    return LLOYD_OK;
}

static lloyd_status list_sources(hid_t creation, const char *path, const char *name,
                                 lloyd_storage *storage)
{
    size_t count = 0;
    if (H5Pget_virtual_count(creation, &count) < 0) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot read the list of sources of virtual dataset %s of %s", name,
                          path);
    }
    LLOYD_TRY(lloyd_alloc(&storage->sources, (int64_t)count, sizeof *storage->sources,
                          "the sources of a virtual dataset"));
    storage->source_count = (int64_t)count;
    for (size_t i = 0; i < count; i++) {
        hsize_t start[H5S_MAX_RANK] = {0}, end[H5S_MAX_RANK] = {0};
        hid_t space = H5Pget_virtual_vspace(creation, i);
        int bounded =
            space >= 0 && H5Sget_select_bounds(space, start, end) >= 0 && end[0] <= INT64_MAX;
        storage->sources[i].first = bounded ? (int64_t)start[0] : 0;
        storage->sources[i].last = bounded ? (int64_t)end[0] : INT64_MAX;
        if (space >= 0) H5Sclose(space);
    }
    return LLOYD_OK;
}

/* Whether the chunk that begins at this row, in the first column, is stored. */
static int has_chunk(hid_t dataset, int64_t row)
{
    hsize_t at[H5S_MAX_RANK] = {(hsize_t)row}, bytes = 0;
    return H5Dget_chunk_storage_size(dataset, at, &bytes) >= 0 && bytes > 0;
}

static lloyd_status never_written(const char *path, const char *name)
{
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "dataset %s of %s was created, but none of its rows was ever written: its "
                      "writer was interrupted or has not ended; write the file again",
                      name, path);
}

/* 1: rows that were never written have a value that whoever made the dataset has chosen. */
static int has_own_fill(hid_t dataset)
{
    H5D_fill_value_t fill = H5D_FILL_VALUE_DEFAULT;
    hid_t creation = H5Dget_create_plist(dataset);
    int known = creation < 0 || H5Pfill_value_defined(creation, &fill) < 0;
    if (creation >= 0) H5Pclose(creation);
    return known || fill == H5D_FILL_VALUE_USER_DEFINED;
}

lloyd_status lloyd_storage_check_written(const lloyd_storage *storage, hid_t dataset,
                                         const char *path, const char *name)
{
    hsize_t extent[1] = {0}, at[H5S_MAX_RANK], bytes;
    haddr_t address;
    unsigned left_out;
    int rank = 0;
    LLOYD_TRY(lloyd_h5_shape(dataset, name, 1, &rank, extent));
    if (storage->external > 0 || rank < 1 || dataset_bytes(dataset) == 0 || has_own_fill(dataset))
        return LLOYD_OK;
    if (storage->layout == H5D_CONTIGUOUS)
        return H5Dget_offset(dataset) == HADDR_UNDEF ? never_written(path, name) : LLOYD_OK;
    if (storage->layout != H5D_CHUNKED || storage->chunk_rows < 1) return LLOYD_OK;
    int64_t last = (int64_t)(extent[0] - 1) / storage->chunk_rows * storage->chunk_rows;
    if (has_chunk(dataset, last)) return LLOYD_OK;
    if (!has_chunk(dataset, 0) &&
        H5Dget_chunk_info(dataset, H5S_ALL, 0, at, &left_out, &address, &bytes) < 0)
        return never_written(path, name);
    lloyd_note("the last rows of %s:%s were never written and are read as zeros; was its writer "
               "interrupted?",
               path, name);
    return LLOYD_OK;
}

static lloyd_status inspect(hid_t file, hid_t dataset, const char *path, const char *name,
                            lloyd_storage *storage)
{
    hid_t creation = H5Dget_create_plist(dataset);
    if (creation < 0) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot read how dataset %s of %s is stored; the file may be damaged",
                          name, path);
    }
    storage->layout = H5Pget_layout(creation);
    storage->external = H5Pget_external_count(creation);
    lloyd_status status = LLOYD_OK;
    if (storage->layout == H5D_CHUNKED) {
        status = size_cache(storage, creation, dataset, path, name);
        if (status == LLOYD_OK) status = check_filters(creation, path, name);
    } else if (storage->layout == H5D_VIRTUAL) {
        status = list_sources(creation, path, name, storage);
        if (status == LLOYD_OK)
            status = lloyd_cover_check(file, dataset, creation, path, name, storage);
    } else if (storage->external > 0) {
        storage->beside = storage->depth == 0 && lies_beside(creation, path);
        status = check_external(creation, storage, dataset_bytes(dataset), path, name);
    }
    H5Pclose(creation);
    return status;
}

static lloyd_status open_inspected(hid_t file, const char *path, const char *name, int depth,
                                   lloyd_watch *watch, lloyd_storage *storage, hid_t *dataset)
{
    *storage = (lloyd_storage){.depth = depth, .watch = watch};
    LLOYD_TRY(lloyd_storage_reopen(file, path, name, storage, dataset));
    lloyd_status status = inspect(file, *dataset, path, name, storage);
    if (status != LLOYD_OK) {
        H5Dclose(*dataset);
        *dataset = H5I_INVALID_HID;
        lloyd_storage_free(storage);
    }
    return status;
}

lloyd_status lloyd_storage_open(hid_t file, const char *path, const char *name, lloyd_watch *watch,
                                lloyd_storage *storage, hid_t *dataset)
{
    return open_inspected(file, path, name, 0, watch, storage, dataset);
}

lloyd_status lloyd_storage_open_source(hid_t file, const char *path, const char *name,
                                       const lloyd_storage *of, lloyd_storage *storage,
                                       hid_t *dataset)
{
    return open_inspected(file, path, name, of->depth + 1, of->watch, storage, dataset);
}

void lloyd_storage_free(lloyd_storage *storage)
{
    for (int i = 0; storage->extents && i < storage->external; i++) free(storage->extents[i].path);
    lloyd_free(storage->extents);
    lloyd_free(storage->sources);
    memset(storage, 0, sizeof *storage);
}

/* ---- Sizes and words ------------------------------------------------------------------------ */

int64_t lloyd_storage_piece(const lloyd_storage *storage, int64_t row_bytes, int64_t first,
                            int64_t count)
{
    int64_t piece = READ_MAX / row_bytes;
    if (storage->layout == H5D_CHUNKED) {
        int64_t rows_of_chunks = CHUNKS_A_CALL / storage->chunks_across;
        if (rows_of_chunks < 1) rows_of_chunks = 1;
        if (piece / storage->chunk_rows >= rows_of_chunks)
            piece = rows_of_chunks * storage->chunk_rows;
        if (piece > storage->chunk_rows)
            piece -= (first + piece) % storage->chunk_rows; /* end on a border */
    }
    if (piece < 1) piece = 1;
    return piece < count ? piece : count;
}

int64_t lloyd_storage_memory(const lloyd_storage *storage)
{
    if (storage->layout != H5D_CHUNKED) return 0;
    int64_t across = storage->chunks_across, held = (int64_t)storage->cache_bytes;
    int64_t called = across > CHUNKS_A_CALL ? across : CHUNKS_A_CALL;
    int64_t chunks = storage->chunk_count;
    if (called > chunks) called = chunks;
    if (chunks <= held / storage->chunk_bytes) held = chunks * storage->chunk_bytes;
    /* The next chunk is read, as stored and as it will be, before an old one leaves the cache. */
    return held + 2 * storage->chunk_bytes + CHUNK_INDEX + CHUNK_RECORD * called +
           (int64_t)sizeof(void *) * (int64_t)storage->cache_slots;
}

/* The names of the dataset's filters, each with ", " before it. */
static void name_filters(hid_t creation, char *text, size_t bytes)
{
    int count = H5Pget_nfilters(creation);
    for (int i = 0; i < count; i++) {
        char given[64] = "";
        unsigned flags, config;
        size_t values = 0, used = strlen(text);
        H5Z_filter_t filter = H5Pget_filter2(creation, (unsigned)i, &flags, &values, NULL,
                                             sizeof given, given, &config);
        if (*given) {
            snprintf(text + used, bytes - used, ", %s", given);
        } else {
            snprintf(text + used, bytes - used, ", filter %d", (int)filter);
        }
    }
}

const char *lloyd_storage_text(const lloyd_storage *storage, hid_t dataset, char *text,
                               size_t bytes)
{
    hid_t creation = H5Dget_create_plist(dataset);
    hsize_t chunk[2] = {0, 0};
    if (creation < 0) {
        snprintf(text, bytes, "storage unknown");
    } else if (storage->layout == H5D_CHUNKED && H5Pget_chunk(creation, 2, chunk) == 2) {
        snprintf(text, bytes, "chunks of %lld x %lld", (long long)chunk[0], (long long)chunk[1]);
        name_filters(creation, text, bytes);
    } else if (storage->layout == H5D_VIRTUAL) {
        snprintf(text, bytes, "virtual, %lld source%s", (long long)storage->source_count,
                 storage->source_count == 1 ? "" : "s");
    } else if (storage->external > 0) {
        int64_t offset, size;
        char *name = external_file(creation, 0, &offset, &size);
        snprintf(text, bytes, "external, in %s%s", name ? name : "",
                 storage->external > 1 ? " and more files" : "");
        free(name);
    } else {
        snprintf(text, bytes, "%s", storage->layout == H5D_COMPACT ? "compact" : "contiguous");
    }
    if (creation >= 0) H5Pclose(creation);
    return text;
}
