/* The names under which HDF5 looks for external files and for the sources of virtual datasets.
 * Private to io/. */
#ifndef LLOYD_IO_NAMES_H
#define LLOYD_IO_NAMES_H

#include <stdint.h>

/* The name after a prefix in which HDF5 replaces ${ORIGIN} by the directory of the file `path`;
 * an absolute name stays. Free with free(); NULL without memory. */
char *lloyd_names_prefixed(const char *path, const char *prefix, const char *name);

/* The bytes of a file, -1 if it cannot be found. */
int64_t lloyd_names_file_bytes(const char *path);

/* The file that HDF5 will find under the name of a source, looked for in the same order: as it is
 * if absolute, HDF5_VDS_PREFIX, beside the virtual dataset's file, the current directory, beside
 * the file that a symbolic link points to. NULL if there is none; free with free(). */
char *lloyd_names_find_source(const char *path, const char *name);

/* Whether the name of a source has %b, which numbers the files, or datasets, of a series. */
int lloyd_names_is_series(const char *name);

/* The name with %b as `number`, and %% as %; free with free(). NULL without memory. */
char *lloyd_names_source(const char *name, int64_t number);

#endif
