/* Helpers for HDF5: opening files with understandable errors, element types, listing datasets.
 * Private to io/. */
#ifndef LLOYD_IO_H5_H
#define LLOYD_IO_H5_H

#include "base/status.h"
#include "base/types.h"

#include <hdf5.h>
#include <stdint.h>

/* One thread at a time: HDF5 keeps its state in global variables, and rows are read ahead in a
 * thread while another writes labels or a checkpoint. Whatever calls HDF5 holds this lock. A thread
 * may take it again while it has it; what only reads or writes bytes at known offsets does without.
 * lloyd_h5_enter() also keeps HDF5 from printing its error stack; it returns 0. */
int lloyd_h5_enter(void);
void lloyd_h5_leave(int *entered);

/* Holds the lock until the end of the block that it stands in. */
#define LLOYD_H5_SCOPE                                                                             \
    int lloyd_h5_scope_ __attribute__((cleanup(lloyd_h5_leave), unused)) = lloyd_h5_enter()

/* The innermost description on HDF5's error stack, into `text`, which is returned. To be called
 * right after the failure. */
const char *lloyd_h5_reason(char *text, size_t bytes);

/* An access list for files that are written: no file locks (parallel file systems often have none,
 * and outputs have names of their own) and the oldest file format. Close with H5Pclose(). */
hid_t lloyd_h5_file_access(void);

/* An access list for a file that is read, with HDF5's locks unless the file system has none. HDF5
 * refuses to open a file twice with and without. */
hid_t lloyd_h5_read_access(const char *path);

/* LLOYD_BAD_INPUT where another program holds a lock on the file because it writes to it: it may
 * have made a dataset whose rows are still in its memory, and they would be read as zeros. File
 * systems without locks are tolerated; HDF5_USE_FILE_LOCKING is obeyed as HDF5 does. */
lloyd_status lloyd_h5_check_unused(const char *path);

/* Whether a file is HDF5, by its first bytes or those after a user block; 1 too if it cannot be
 * read: HDF5 says why. */
int lloyd_h5_recognises(int descriptor);

/* Opens `path` for reading, unless it is in use. LLOYD_BAD_INPUT with the reason. */
lloyd_status lloyd_h5_open_file(const char *path, hid_t *file);

/* The same for the source of a virtual dataset. HDF5 opens it once more by itself, with the locks
 * that it takes by default, and reads zeros where that fails, or where the file is open with
 * others; so this does the same. */
lloyd_status lloyd_h5_open_source(const char *path, hid_t *file);

/* The descriptor with which HDF5 reads an open file, or the one that a dataset lies in (another one
 * than was opened, if an external link led there), as long as that is open; -1 where it reads in
 * another way than with plain reads of one file. */
int lloyd_h5_descriptor(hid_t object);

/* The extents of a dataset; *rank may be more than `limit`, then only `limit` extents are
 * stored. */
lloyd_status lloyd_h5_shape(hid_t dataset, const char *where, int limit, int *rank,
                            hsize_t *extent);

/* The element type of a dataset of rows, and whether it is stored as float64. */
lloyd_status lloyd_h5_type(hid_t dataset, const char *path, const char *name, lloyd_type *type,
                           int *wide);

/* A command that writes what lloyd cannot read to new.h5, into text, which is returned: in Python,
 * with `modules`, and `value` made from the h5py dataset x. */
const char *lloyd_h5_conversion(const char *path, const char *name, const char *modules,
                                const char *value, char *text, size_t bytes);

/* Whether elements of a type that lloyd_h5_type() accepts are stored as they are in memory. */
int lloyd_h5_is_native(hid_t dataset);

/* A new datatype: elements of that type in native byte order. Close with H5Tclose(). */
hid_t lloyd_h5_native(lloyd_type type);

/* *exists: 1 where a file has an object of that name, else 0. LLOYD_BAD_INPUT where that cannot be read. */
lloyd_status lloyd_h5_exists(const char *path, hid_t file, const char *name, int *exists);

/* Datasets of a file with so many dimensions (1 or 2): their number (counting stops at
 * LLOYD_H5_LISTED + 1), the first ones' names. */
enum { LLOYD_H5_LISTED = 8 };
typedef struct lloyd_h5_list {
    int rank, count;
    int unreadable; /* 1: there are objects that this HDF5 cannot read */
    char *names[LLOYD_H5_LISTED];
} lloyd_h5_list;
void lloyd_h5_list_datasets(hid_t file, int rank, lloyd_h5_list *list);
void lloyd_h5_list_free(lloyd_h5_list *list);

/* "the two-dimensional datasets there are /a, /b" into text, which is returned. */
const char *lloyd_h5_list_text(hid_t file, int rank, char *text, size_t bytes);

#endif
