/* HDF5 with errors a person understands. The common case costs nothing extra: a file is simply
 * opened, and only when that fails is it looked at more closely to say why. */
#include "io/hdf5/h5.h"

#include "io/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock;
static pthread_once_t lock_made = PTHREAD_ONCE_INIT;

static void make_lock(void)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&lock, &kind);
    pthread_mutexattr_destroy(&kind);
}

int lloyd_h5_enter(void)
{
    pthread_once(&lock_made, make_lock);
    pthread_mutex_lock(&lock);
    /* Every file is closed by name. What HDF5 would still write when the process ends is what could
     * not be written, on a full disk, and it crashes over it. Without effect if a host program uses
     * HDF5 already. */
    (void)H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return 0;
}

void lloyd_h5_leave(int *entered)
{
    (void)entered;
    pthread_mutex_unlock(&lock);
}

typedef struct reason {
    char *text;
    size_t bytes;
} reason;

static herr_t take_reason(unsigned n, const H5E_error2_t *error, void *data)
{
    const reason *into = data;
    if (n == 0 && error->desc) snprintf(into->text, into->bytes, "%s", error->desc);
    return 0;
}

const char *lloyd_h5_reason(char *text, size_t bytes)
{
    snprintf(text, bytes, "HDF5 gives no reason");
    reason into = {text, bytes};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, &into);
    return text;
}

static hid_t plain_access(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST);
    return access;
}

hid_t lloyd_h5_file_access(void)
{
    hid_t access = plain_access();
#if (H5_VERSION_GE(1, 10, 7) && !H5_VERSION_GE(1, 12, 0)) || H5_VERSION_GE(1, 12, 1)
    H5Pset_file_locking(access, 0, 1);
#endif
    return access;
}

/* ---- Files in use ---------------------------------------------------------------------------- */

/* Whether locks are to be looked at: what HDF5_USE_FILE_LOCKING says to HDF5, with BEST_EFFORT as
 * the default. */
enum { LOCKS_IGNORED, LOCKS_TRIED, LOCKS_REQUIRED };

static int asked_for_locks(void)
{
    const char *asked = getenv("HDF5_USE_FILE_LOCKING");
    if (!asked) return LOCKS_TRIED;
    if (strcmp(asked, "FALSE") == 0 || strcmp(asked, "0") == 0) return LOCKS_IGNORED;
    return strcmp(asked, "TRUE") == 0 || strcmp(asked, "1") == 0 ? LOCKS_REQUIRED : LOCKS_TRIED;
}

/* Tries to share the file of a descriptor, as a reader; 0, or the error. The lock is given back at
 * once: it is only asked for. */
static int try_lock(int descriptor)
{
    int result;
    do {
        result = flock(descriptor, LOCK_SH | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    if (result != 0) return errno;
    flock(descriptor, LOCK_UN);
    return 0;
}

/* 0: the file can be read as far as locks tell; else the error. */
static int probe(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return 0; /* whoever opens it says why that fails */
    int error = try_lock(descriptor);
    close(descriptor);
    return error;
}

lloyd_status lloyd_h5_check_unused(const char *path)
{
    int asked = asked_for_locks(), error = asked == LOCKS_IGNORED ? 0 : probe(path);
    if (error == 0) return LLOYD_OK;
    if (error == EWOULDBLOCK) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot read %s: it is in use, another program has it open for writing, and what that "
            "has written may not be in the file yet; wait until it has closed the file",
            path);
    }
    if (asked != LOCKS_REQUIRED) return LLOYD_OK; /* a file system without locks */
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "cannot read %s: HDF5_USE_FILE_LOCKING asks for file locks, which its file "
                      "system does not give (%s); set it to BEST_EFFORT or FALSE",
                      path, strerror(error));
}

enum {
    SIGNATURE = 8,
    VERSION = 8,
    FLAGS = 11,
    SUPERBLOCK
}; /* bytes of a superblock; where they lie */

/* Finds the superblock, at byte 0, 512, 1024, 2048, ..., into head[SUPERBLOCK]; -1 if the file
 * cannot be read. */
static int find_superblock(int descriptor, unsigned char *head)
{
    static const unsigned char signature[SIGNATURE] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    for (off_t at = 0;; at = at ? 2 * at : 512) {
        ssize_t count = lloyd_bytes_read(descriptor, at, head, SUPERBLOCK);
        if (count < SUPERBLOCK) return count < 0 ? -1 : 0;
        if (memcmp(head, signature, SIGNATURE) == 0) return 1;
    }
}

int lloyd_h5_recognises(int descriptor)
{
    unsigned char head[SUPERBLOCK];
    return find_superblock(descriptor, head) != 0;
}

/* Whether the superblock (version 3, of the newer file formats) is marked as open for writing. */
static int is_marked_open(int descriptor)
{
    enum { WRITING = 1 | 4 }; /* 4: for readers at the same time */
    unsigned char head[SUPERBLOCK];
    return find_superblock(descriptor, head) > 0 && head[VERSION] >= 3 &&
           (head[FLAGS] & WRITING) != 0;
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* The path from the root, for messages, into text, which is returned. */
static const char *absolute(const char *path, char *text, size_t bytes)
{
    char *folder = *path == '/' ? NULL : getcwd(NULL, 0);
    snprintf(text, bytes, "%s%s%s", folder ? folder : "", folder ? "/" : "", path);
    free(folder);
    return text;
}

hid_t lloyd_h5_read_access(const char *path)
{
    int asked = asked_for_locks();
    int lockless = asked == LOCKS_IGNORED || (asked == LOCKS_TRIED && probe(path) != 0);
    return lockless ? lloyd_h5_file_access() : plain_access();
}

/* Why HDF5 did not open the regular file `path`; `text` is the reason that HDF5 gives. */
static lloyd_status explain_open(const char *path, const char *text)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return lloyd_fail(LLOYD_BAD_INPUT, "cannot open %s: %s; check its permissions", path,
                          strerror(errno));
    }
    int marked = is_marked_open(descriptor);
    close(descriptor);
    if (marked) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot open %s: it is in use or was not closed: a program has it open for writing, or "
            "was ended before it closed the file; wait for it, or, if it is gone, make the file "
            "again, or see with 'h5clear -s %s' what is left",
            path, path);
    }
    int error = asked_for_locks() == LOCKS_IGNORED ? 0 : probe(path);
    if (error) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot open %s: its file system does not give the locks that HDF5 asks "
                          "for (%s); set HDF5_USE_FILE_LOCKING=FALSE",
                          path, strerror(error));
    }
    if (H5Fis_hdf5(path) > 0) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot open %s: the HDF5 file is damaged or was not written completely (%s); copy or make it again",
            path, text);
    }
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot open %s: it is not an HDF5 file", path);
}

lloyd_status lloyd_h5_open_file(const char *path, hid_t *file)
{
    *file = H5I_INVALID_HID;
    struct stat info;
    if (stat(path, &info) != 0) {
        int error = errno;
        char whole[PATH_MAX];
        return lloyd_fail(LLOYD_BAD_INPUT, "cannot open %s: %s; check the path",
                          absolute(path, whole, sizeof whole), strerror(error));
    }
    if (S_ISDIR(info.st_mode)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot open %s: it is a directory; name the files in it, for example with '%s/*.h5' in quotes",
            path, path);
    }
    if (!S_ISREG(info.st_mode)) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot open %s: it is not a regular file; HDF5 needs a file on disk",
                          path);
    }
    LLOYD_TRY(lloyd_h5_check_unused(path));
    hid_t access = lloyd_h5_read_access(path);
    *file = H5Fopen(path, H5F_ACC_RDONLY, access);
    char text[256];
    if (*file < 0) lloyd_h5_reason(text, sizeof text);
    H5Pclose(access);
    return *file < 0 ? explain_open(path, text) : LLOYD_OK;
}

lloyd_status lloyd_h5_open_source(const char *path, hid_t *file)
{
    *file = H5I_INVALID_HID;
    LLOYD_TRY(lloyd_h5_check_unused(path));
    hid_t access = plain_access();
    *file = H5Fopen(path, H5F_ACC_RDONLY, access);
    H5Pclose(access);
    if (*file >= 0) return LLOYD_OK;
    lloyd_status status = lloyd_h5_open_file(path, file);
    if (status != LLOYD_OK) return status; /* which says what is wrong */
    H5Fclose(*file);
    *file = H5I_INVALID_HID;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "HDF5 does not open %s, whose file system has no locks; set "
                      "HDF5_USE_FILE_LOCKING=FALSE",
                      path);
}

int lloyd_h5_descriptor(hid_t object)
{
    hid_t file = H5Iget_file_id(object);
    hid_t access = file < 0 ? H5I_INVALID_HID : H5Fget_access_plist(file);
    void *handle = NULL;
    int plain = access >= 0 && H5Pget_driver(access) == H5FD_SEC2 &&
                H5Fget_vfd_handle(file, access, &handle) >= 0 && handle;
    int descriptor = plain ? *(const int *)handle : -1;
    if (access >= 0) H5Pclose(access);
    if (file >= 0) H5Fclose(file);
    return descriptor;
}

lloyd_status lloyd_h5_shape(hid_t dataset, const char *where, int limit, int *rank, hsize_t *extent)
{
    hsize_t all[H5S_MAX_RANK] = {0};
    hid_t space = H5Dget_space(dataset);
    *rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, all, NULL);
    if (space >= 0) H5Sclose(space);
    if (*rank < 0)
        return lloyd_fail(LLOYD_BAD_INPUT, "cannot read the shape of %s; the file may be damaged",
                          where);
    for (int i = 0; i < limit; i++) extent[i] = i < *rank ? all[i] : 0;
    return LLOYD_OK;
}

/* The layouts of the floating-point types that are read. */
typedef struct float_layout {
    size_t size, sign, exponent, exponent_bits, fraction_bits, bias;
    lloyd_type type;
} float_layout;

static const float_layout floats[] = {
    {4, 31, 23, 8, 23, 127, LLOYD_F32},
    {2, 15, 10, 5, 10, 15, LLOYD_F16},
    {2, 15, 7, 8, 7, 127, LLOYD_BF16},
    {8, 63, 52, 11, 52, 1023, LLOYD_F32},
};

static const float_layout *find_float(hid_t type)
{
    size_t sign, exponent, exponent_bits, fraction, fraction_bits;
    if (H5Tget_fields(type, &sign, &exponent, &exponent_bits, &fraction, &fraction_bits) < 0)
        return NULL;
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        const float_layout *f = &floats[i];
        if (H5Tget_size(type) == f->size && sign == f->sign && exponent == f->exponent &&
            fraction == 0 && exponent_bits == f->exponent_bits &&
            fraction_bits == f->fraction_bits && H5Tget_ebias(type) == f->bias &&
            H5Tget_norm(type) == H5T_NORM_IMPLIED) {
            return f;
        }
    }
    return NULL;
}

/* What a type that is not read is called. */
static void name_type(hid_t type, char *text, size_t bytes)
{
    static const char *const classes[] = {[H5T_TIME] = "time",
                                          [H5T_STRING] = "string",
                                          [H5T_BITFIELD] = "bitfield",
                                          [H5T_OPAQUE] = "opaque",
                                          [H5T_COMPOUND] = "compound",
                                          [H5T_REFERENCE] = "reference",
                                          [H5T_ENUM] = "enumeration (or boolean)",
                                          [H5T_VLEN] = "variable-length",
                                          [H5T_ARRAY] = "array"};
    H5T_class_t class = H5Tget_class(type);
    if (class == H5T_INTEGER) {
        snprintf(text, bytes, "%sint%zu", H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "",
                 8 * H5Tget_size(type));
    } else if (class == H5T_FLOAT) {
        snprintf(text, bytes, "unusual %zu-byte floating-point", H5Tget_size(type));
    } else {
        int known =
            class >= 0 && (size_t) class < sizeof classes / sizeof classes[0] && classes[class];
        snprintf(text, bytes, "%s", known ? classes[class] : "unknown");
    }
}

const char *lloyd_h5_conversion(const char *path, const char *name, const char *modules,
                                const char *value, char *text, size_t bytes)
{
    static const char special[] = "'\"\\$`!";
    int plain = !strpbrk(path, special) && !strpbrk(name, special);
    snprintf(
        text, bytes,
        "python3 -c \"import %s; x = h5py.File('%s')['%s']; h5py.File('new.h5', 'x')['train'] = "
        "%s\"",
        modules, plain ? path : "FILE", plain ? name : "DATASET", value);
    return text;
}

/* Why a type of a class is not read, and what to do. */
static lloyd_status refuse_type(hid_t type, const char *path, const char *name)
{
    char kind[64], how[LLOYD_MESSAGE_BYTES / 2];
    H5T_class_t class = H5Tget_class(type);
    size_t size = H5Tget_size(type);
    name_type(type, kind, sizeof kind);
    if (class == H5T_OPAQUE && size == 2) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s:%s has elements of 2 bytes without a type (opaque), which h5py writes for bfloat16; if "
            "they are that, convert them to float32 with %s",
            path, name,
            lloyd_h5_conversion(path, name, "h5py",
                                "(x[:].view('uint16').astype('uint32') << 16).view('float32')", how,
                                sizeof how));
    }
    if (class == H5T_OPAQUE && size == 1) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s:%s has elements of 1 byte without a type (opaque), which h5py writes for float8 and "
            "int4; convert them to float32 with the type that they were written with, for example with "
            "%s",
            path, name,
            lloyd_h5_conversion(path, name, "h5py, ml_dtypes",
                                "x[:].view(ml_dtypes.float8_e4m3fn).astype('float32')", how,
                                sizeof how));
    }
    if (class == H5T_ENUM) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s:%s has elements of type %s; name a dataset of numbers with FILE:DATASET, or convert them with %s",
            path, name, kind,
            lloyd_h5_conversion(path, name, "h5py", "x[:].astype('uint8')", how, sizeof how));
    }
    if (class == H5T_INTEGER || class == H5T_FLOAT) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s:%s has elements of type %s, which is not read; convert them to float32 or uint8, for "
            "example with %s",
            path, name, kind,
            lloyd_h5_conversion(path, name, "h5py", "x.astype('float32')[:]", how, sizeof how));
    }
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "%s:%s has elements of type %s, which are not vectors of numbers; name a dataset of float32, float16, bfloat16, "
        "float64, uint8 or int8 with FILE:DATASET",
        path, name, kind);
}

lloyd_status lloyd_h5_type(hid_t dataset, const char *path, const char *name, lloyd_type *type,
                           int *wide)
{
    hid_t stored = H5Dget_type(dataset);
    if (stored < 0)
        return lloyd_fail(LLOYD_BAD_INPUT, "cannot read the type of %s:%s; the file may be damaged",
                          path, name);
    H5T_class_t class = H5Tget_class(stored);
    const float_layout *layout = class == H5T_FLOAT ? find_float(stored) : NULL;
    int byte = class == H5T_INTEGER && H5Tget_size(stored) == 1; /* or less: n bits of it */
    lloyd_status status = LLOYD_OK;
    *wide = layout && layout->size == 8;
    if (layout) {
        *type = layout->type;
    } else if (byte) {
        *type = H5Tget_sign(stored) == H5T_SGN_NONE ? LLOYD_U8 : LLOYD_I8;
    } else {
        status = refuse_type(stored, path, name);
    }
    H5Tclose(stored);
    return status;
}

int lloyd_h5_is_native(hid_t dataset)
{
    hid_t stored = H5Dget_type(dataset);
    if (stored < 0) return 0;
    size_t size = H5Tget_size(stored);
    int byte = size == 1 && H5Tget_precision(stored) == 8;
    int native =
        byte || (size > 1 && size < 8 && H5Tget_order(stored) == H5Tget_order(H5T_NATIVE_FLOAT));
    H5Tclose(stored);
    return native;
}

hid_t lloyd_h5_native(lloyd_type type)
{
    if (type == LLOYD_U8) return H5Tcopy(H5T_NATIVE_UINT8);
    if (type == LLOYD_I8) return H5Tcopy(H5T_NATIVE_INT8);
    hid_t native = H5Tcopy(H5T_NATIVE_FLOAT);
    for (size_t i = 0; type != LLOYD_F32 && i < sizeof floats / sizeof floats[0]; i++) {
        const float_layout *f = &floats[i];
        if (f->type != type) continue;
        H5Tset_fields(native, f->sign, f->exponent, f->exponent_bits, 0, f->fraction_bits);
        H5Tset_size(native, f->size);
        H5Tset_ebias(native, f->bias);
    }
    return native;
}

static int has_rank(hid_t parent, const char *name, int wanted, int *unreadable)
{
    hid_t dataset = H5Dopen2(parent, name, H5P_DEFAULT);
    if (dataset < 0) {
        *unreadable = 1;
        return 0;
    }
    hid_t space = H5Dget_space(dataset);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (rank < 0) *unreadable = 1;
    if (space >= 0) H5Sclose(space);
    H5Dclose(dataset);
    return rank == wanted;
}

static herr_t visit(hid_t parent, const char *name, H5O_type_t type, void *data)
{
    lloyd_h5_list *list = data;
    if (type != H5O_TYPE_DATASET || !has_rank(parent, name, list->rank, &list->unreadable))
        return 0;
    if (list->count == LLOYD_H5_LISTED) {
        list->count++;
        return 1; /* enough */
    }
    char *path;
    if (asprintf(&path, "/%s", name) < 0) return -1;
    list->names[list->count++] = path;
    return 0;
}

#if H5_VERSION_GE(1, 12, 0)
static herr_t visit_object(hid_t parent, const char *name, const H5O_info2_t *info, void *data)
#else
static herr_t visit_object(hid_t parent, const char *name, const H5O_info_t *info, void *data)
#endif
{
    return visit(parent, name, info->type, data);
}

void lloyd_h5_list_datasets(hid_t file, int rank, lloyd_h5_list *list)
{
    *list = (lloyd_h5_list){.rank = rank};
#if H5_VERSION_GE(1, 12, 0)
    herr_t walked = H5Ovisit3(file, H5_INDEX_NAME, H5_ITER_INC, visit_object, list, H5O_INFO_BASIC);
#else
    herr_t walked = H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, visit_object, list, H5O_INFO_BASIC);
#endif
    if (walked < 0) list->unreadable = 1;
}

void lloyd_h5_list_free(lloyd_h5_list *list)
{
    for (int i = 0; i < LLOYD_H5_LISTED; i++) free(list->names[i]);
    memset(list, 0, sizeof *list);
}

const char *lloyd_h5_list_text(hid_t file, int rank, char *text, size_t bytes)
{
    const char *kind = rank == 1 ? "one-dimensional" : "two-dimensional";
    lloyd_h5_list list;
    lloyd_h5_list_datasets(file, rank, &list);
    if (list.count == 0 && list.unreadable) {
        snprintf(text, bytes, "this version of HDF5 cannot read all objects of the file");
    } else if (list.count == 0) {
        snprintf(text, bytes, "there is no %s dataset in the file", kind);
    } else {
        snprintf(text, bytes, "the %s datasets there: ", kind);
    }
    for (int i = 0; i < LLOYD_H5_LISTED && list.names[i]; i++) {
        size_t used = strlen(text);
        snprintf(text + used, bytes - used, "%s%s", i ? ", " : "", list.names[i]);
    }
    size_t used = strlen(text);
    if (list.count > LLOYD_H5_LISTED) snprintf(text + used, bytes - used, " and more");
    lloyd_h5_list_free(&list);
    return text;
}

lloyd_status lloyd_h5_exists(const char *path, hid_t file, const char *name, int *exists)
{
    LLOYD_H5_SCOPE;
    htri_t found = H5Lexists(file, name, H5P_DEFAULT);
    *exists = found > 0;
    if (found >= 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot read whether %s has %s; the file may be damaged",
                      path, name);
}
