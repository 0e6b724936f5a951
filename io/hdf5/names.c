/* See names.h. The names are looked up here as HDF5 itself looks them up, only to be able to say
 * that a file is missing; reading is left to HDF5. */
#include "io/hdf5/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char *lloyd_names_prefixed(const char *path, const char *prefix, const char *name)
{
    static const char mark[] = "${ORIGIN}";
    if (*name == '/' || !*prefix || strcmp(prefix, ".") == 0) return strdup(name);
    const char *slash = strrchr(path, '/'), *directory = "";
    size_t length = 0;
    if (strncmp(prefix, mark, sizeof mark - 1) == 0) {
        prefix += sizeof mark - 1;
        directory = slash ? path : ".";
        length = slash ? (size_t)(slash - path) : 1;
    }
    char *whole;
    return asprintf(&whole, "%.*s%s/%s", (int)length, directory, prefix, name) < 0 ? NULL : whole;
}

int64_t lloyd_names_file_bytes(const char *path)
{
    struct stat info;
    return path && stat(path, &info) == 0 && S_ISREG(info.st_mode) ? (int64_t)info.st_size : -1;
}

/* `candidate` if it is a file, else NULL, and it is freed. */
static char *if_file(char *candidate)
{
    if (lloyd_names_file_bytes(candidate) >= 0) return candidate;
    free(candidate);
    return NULL;
}

/* Tries the directories of HDF5_VDS_PREFIX, a list separated by ':'. */
static char *find_by_environment(const char *path, const char *name)
{
    const char *given = getenv("HDF5_VDS_PREFIX");
    char *found = NULL;
    while (!found && given && *given) {
        size_t length = strcspn(given, ":");
        char *prefix = strndup(given, length);
        if (prefix && length > 0) found = if_file(lloyd_names_prefixed(path, prefix, name));
        free(prefix);
        given += length + (given[length] == ':');
    }
    return found;
}

char *lloyd_names_find_source(const char *path, const char *name)
{
    if (*name == '/') {
        char *found = if_file(strdup(name));
        if (found) return found;
        name = strrchr(name, '/') + 1;
    }
    char *found = find_by_environment(path, name);
    if (!found) found = if_file(lloyd_names_prefixed(path, "${ORIGIN}", name));
    if (!found) found = if_file(strdup(name));
    if (found) return found;
    char *real = realpath(path, NULL);
    if (real) found = if_file(lloyd_names_prefixed(real, "${ORIGIN}", name));
    free(real);
    return found;
}

int lloyd_names_is_series(const char *name)
{
    for (; *name; name++) {
        if (name[0] != '%') continue;
        if (name[1] == 'b') return 1;
        name += name[1] == '%';
    }
    return 0;
}

char *lloyd_names_source(const char *name, int64_t number)
{
    char *copy = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&copy, &bytes);
    if (!out) return NULL;
    for (; *name; name++) {
        if (name[0] == '%' && name[1] == 'b') {
            fprintf(out, "%lld", (long long)number);
        } else {
            fputc(*name, out);
        }
        name += name[0] == '%' && (name[1] == 'b' || name[1] == '%');
    }
    if (fclose(out) == 0) return copy;
    free(copy);
    return NULL;
}
