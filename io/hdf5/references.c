/* See references.h. Where names are looked up is the system of HDF5 (storage.c). Here all places
 * count: a file that is not the one that is read is not to be replaced either, since it is there
 * under a name that a dataset refers to. */
#include "io/hdf5/references.h"

#include "io/hdf5/h5.h"
#include "io/path.h"

#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NESTED = 8 }; /* virtual datasets of virtual datasets, that deep */

static lloyd_status no_memory(const char *path)
{
    return lloyd_fail(LLOYD_FAILED, "cannot look at what %s refers to: out of memory", path);
}

/* What is done with a file under one of its names. */
typedef struct finder {
    lloyd_visitor visitor;
    const char *dataset; /* of a virtual dataset's source; NULL: a raw file */
    int depth;
} finder;

static lloyd_status walk(const char *path, const char *dataset, lloyd_visitor visitor, int depth);

/* A file that is there, or nothing. */
static lloyd_status found(const finder *f, const char *path)
{
    if (access(path, F_OK) != 0) return LLOYD_OK;
    LLOYD_TRY(f->visitor.visit(f->visitor.data, path));
    return f->dataset ? walk(path, f->dataset, f->visitor, f->depth + 1) : LLOYD_OK;
}

/* "%b" stands for the numbers of as many files as there are, "%%" for '%'. *pattern: for glob();
 * free with free(). */
static lloyd_status name_pattern(const char *name, char **pattern)
{
    char *out = *pattern = malloc(6 * strlen(name) + 1);
    if (!out) return no_memory(name);
    for (; *name; name++) {
        if (name[0] == '%' && name[1] == 'b') {
            out = stpcpy(out, "[0-9]*");
            name++;
        } else {
            if (name[0] == '%' && name[1] == '%') name++;
            if (strchr("*?[]\\", *name)) *out++ = '\\';
            *out++ = *name;
        }
    }
    *out = '\0';
    return LLOYD_OK;
}

/* All files that the name of a source stands for. */
static lloyd_status found_sources(const finder *f, const char *name)
{
    char *pattern;
    glob_t matches = {0};
    LLOYD_TRY(name_pattern(name, &pattern));
    int result = glob(pattern, GLOB_NOSORT, NULL, &matches);
    lloyd_status status = result == GLOB_NOSPACE ? no_memory(name) : LLOYD_OK;
    for (size_t i = 0; result == 0 && i < matches.gl_pathc && status == LLOYD_OK; i++)
        status = found(f, matches.gl_pathv[i]);
    globfree(&matches);
    free(pattern);
    return status;
}

static lloyd_status find_at(const finder *f, const char *name)
{
    return f->dataset ? found_sources(f, name) : found(f, name);
}

/* `name` in a folder, in which ${ORIGIN} is the one of the file `path`. */
static lloyd_status find_in(const finder *f, const char *path, const char *folder, int length,
                            const char *name)
{
    static const char mark[] = "${ORIGIN}";
    enum { MARK = sizeof mark - 1 };
    int origin = length >= MARK && strncmp(folder, mark, MARK) == 0;
    char *own = lloyd_path_folder(path), *whole = NULL;
    if (own && asprintf(&whole, "%s%.*s/%s", origin ? own : "", origin ? length - MARK : length,
                        origin ? folder + MARK : folder, name) < 0)
        whole = NULL;
    lloyd_status status = whole ? find_at(f, whole) : no_memory(path);
    free(own);
    free(whole);
    return status;
}

/* The folders of a list in the environment, separated by ':' (external files: only one). */
static lloyd_status find_by_environment(const finder *f, const char *path, const char *variable,
                                        const char *name)
{
    const char *given = getenv(variable);
    while (given && *given) {
        int length = (int)(f->dataset ? strcspn(given, ":") : strlen(given));
        if (length > 0) LLOYD_TRY(find_in(f, path, given, length, name));
        given += length + (given[length] == ':');
    }
    return LLOYD_OK;
}

/* Everything of that name in a file `path`. */
static lloyd_status find_all(const finder *f, const char *path, const char *name)
{
    static const char own[] = "${ORIGIN}";
    if (*name == '/') {
        LLOYD_TRY(find_at(f, name));
        if (!f->dataset) return LLOYD_OK;
        name = lloyd_path_name(name);
    }
    LLOYD_TRY(
        find_by_environment(f, path, f->dataset ? "HDF5_VDS_PREFIX" : "HDF5_EXTFILE_PREFIX", name));
    LLOYD_TRY(find_in(f, path, own, sizeof own - 1, name));
    LLOYD_TRY(find_at(f, name));
    char *real = realpath(path, NULL);
    lloyd_status status = real ? find_in(f, real, own, sizeof own - 1, name) : LLOYD_OK;
    free(real);
    return status;
}

/* The raw files of external storage. */
static lloyd_status walk_external(hid_t creation, const char *path, const finder *f)
{
    int count = H5Pget_external_count(creation);
    for (int i = 0; i < count; i++) {
        char name[PATH_MAX] = "";
        off_t start;
        hsize_t size;
        if (H5Pget_external(creation, (unsigned)i, sizeof name - 1, name, &start, &size) < 0)
            continue;
        LLOYD_TRY(find_all(f, path, name));
    }
    return LLOYD_OK;
}

/* A source: the dataset `name` of another file, or (".") of this one. */
static lloyd_status walk_named(const char *path, const char *source, const char *name, finder *f)
{
    f->dataset = name;
    return strcmp(source, ".") == 0 ? walk(path, name, f->visitor, f->depth + 1)
                                    : find_all(f, path, source);
}

static lloyd_status walk_source(hid_t creation, size_t i, const char *path, finder *f)
{
    ssize_t a = H5Pget_virtual_filename(creation, i, NULL, 0);
    ssize_t b = H5Pget_virtual_dsetname(creation, i, NULL, 0);
    if (a < 0 || b < 0) return LLOYD_OK;
    char *source = malloc((size_t)a + 1), *name = malloc((size_t)b + 1);
    lloyd_status status = LLOYD_OK;
    if (!source || !name) {
        status = no_memory(path);
    } else if (H5Pget_virtual_filename(creation, i, source, (size_t)a + 1) >= 0 &&
               H5Pget_virtual_dsetname(creation, i, name, (size_t)b + 1) >= 0) {
        status = walk_named(path, source, name, f);
    }
    free(source);
    free(name);
    return status;
}

static lloyd_status walk_creation(hid_t creation, const char *path, finder *f)
{
    size_t count = 0;
    if (H5Pget_layout(creation) != H5D_VIRTUAL) return walk_external(creation, path, f);
    if (H5Pget_virtual_count(creation, &count) < 0) return LLOYD_OK;
    for (size_t i = 0; i < count; i++) LLOYD_TRY(walk_source(creation, i, path, f));
    return LLOYD_OK;
}

/* The name of the file that a dataset lies in: not the one that was opened, if an external link led
 * away from it. */
static void name_home(hid_t dataset, char *name, size_t bytes)
{
    hid_t home = H5Iget_file_id(dataset);
    *name = '\0';
    if (home >= 0 && H5Fget_name(home, name, bytes) < 0) *name = '\0';
    if (home >= 0) H5Fclose(home);
}

/* An input has been read before; a source may be missing, which is reported when it is read. */
static lloyd_status not_opened(const char *path, int depth)
{
    char text[256];
    if (depth > 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot look at what %s refers to: %s; check its disk", path,
                      lloyd_h5_reason(text, sizeof text));
}

static lloyd_status walk_dataset(hid_t dataset, const char *path, lloyd_visitor visitor, int depth)
{
    char home[PATH_MAX];
    finder f = {.visitor = visitor, .depth = depth};
    name_home(dataset, home, sizeof home);
    if (*home && strcmp(home, path) != 0) {
        path = home;
        LLOYD_TRY(visitor.visit(visitor.data, path));
    }
    hid_t creation = H5Dget_create_plist(dataset);
    if (creation < 0) return not_opened(path, depth);
    lloyd_status status = walk_creation(creation, path, &f);
    H5Pclose(creation);
    return status;
}

static lloyd_status walk(const char *path, const char *dataset, lloyd_visitor visitor, int depth)
{
    if (depth > NESTED) return LLOYD_OK;
    hid_t access_list = lloyd_h5_read_access(path);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, access_list);
    lloyd_status status = file < 0 ? not_opened(path, depth) : LLOYD_OK;
    H5Pclose(access_list);
    if (file < 0) return status;
    hid_t id = H5Dopen2(file, dataset, H5P_DEFAULT);
    status = id < 0 ? not_opened(path, depth) : walk_dataset(id, path, visitor, depth);
    if (id >= 0) H5Dclose(id);
    H5Fclose(file);
    return status;
}

lloyd_status lloyd_references(const char *path, const char *dataset, lloyd_visitor visitor)
{
    LLOYD_H5_SCOPE;
    return walk(path, dataset, visitor, 0);
}
