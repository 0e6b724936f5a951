/* What a reader of row files is: one for each format, listed in registry.h.
 *
 * A file of rows has one matrix, of one element type. io/rows.c puts files together, decides which
 * of them are open, and reads rows that lie in a file as they are in memory by itself (extents.h).
 * A reader finds out the shape of a file and where its rows lie, and reads all others. The
 * functions below are called by one thread at a time. Private to io/.
 */
#ifndef LLOYD_IO_READER_H
#define LLOYD_IO_READER_H

#include "base/status.h"
#include "base/types.h"
#include "io/readers/extents.h"
#include "io/readers/raw.h"
#include "io/rows.h"
#include "io/watch.h"

#include <stdint.h>

typedef struct lloyd_row_file {
    const struct lloyd_row_reader *reader;
    char *path;
    char *dataset; /* "/train": as the user names it, or NULL; after inspect() the one that is read,
                    * or NULL for formats without datasets */
    char *weights; /* the dataset of weights, or NULL */
    char *where;   /* "FILE:/DATASET" or "FILE", for messages, from inspect() on */

    lloyd_headerless headerless; /* what is said of it, if it has no header */

    /* Set by inspect(). */
    int64_t rows, columns;
    lloyd_type type;
    int wide;   /* stored as float64, and rounded to float32 by read() */
    int native; /* the rows lie in files as they are in memory: extents() says where */
    void *state;

    lloyd_watch watch; /* of this file and those that it refers to */

    /* Of io/rows.c. */
    int64_t first;          /* number in the dataset of the first row */
    int is_open;            /* between open() and close() */
    int64_t used;           /* when it was used last */
    lloyd_extents *extents; /* of a native file, while it is open */
} lloyd_row_file;

/* How the files of a format are read. Failures: LLOYD_BAD_INPUT for what is wrong with the file,
 * with its name and what to do; LLOYD_FAILED for memory and disks. */
typedef struct lloyd_row_access {
    /* Looks at a file for the first time: its shape and type, whether all of it is there; the files
     * that it is read from are given to its watch. Leaves it closed. After a failure release() is
     * called. */
    lloyd_status (*inspect)(lloyd_row_file *file);

    /* Opens it for reading. LLOYD_BAD_INPUT if it is not the same file any more (its watch). After
     * a failure close() is called. */
    lloyd_status (*open)(lloyd_row_file *file);
    void (*close)(lloyd_row_file *file);   /* allowed at any time after inspect() */
    void (*release)(lloyd_row_file *file); /* frees the state of a closed file; NULL is one */

    /* Where the rows of an open native file lie. NULL: the format has none. */
    lloyd_extents_of (*extents)(const lloyd_row_file *file);

    /* out = rows [first, first+count) of an open file that is not native, in the type
     * file->type. */
    lloyd_status (*read)(lloyd_row_file *file, lloyd_scratch *scratch, int64_t first, int64_t count,
                         char *out);

    /* out = rows by their increasing numbers less `base`, of an open file that is not native; NULL: by
     * read(), with what lies between near ones. */
    lloyd_status (*pick)(lloyd_row_file *file, lloyd_scratch *scratch, const int64_t *numbers,
                         int64_t base, int64_t count, char *out);

    /* Rows that are stored, and so read, together, as in a chunk. NULL: each by itself. */
    int64_t (*together)(const lloyd_row_file *file);

    /* Finds the dataset of weights, of one number per row; then reads some. NULL: the format has
     * none. */
    lloyd_status (*inspect_weights)(lloyd_row_file *file);
    lloyd_status (*read_weights)(lloyd_row_file *file, lloyd_scratch *scratch, int64_t first,
                                 int64_t count, float *out);

    /* Bytes that an open file takes; that each thread takes while it reads; and that whoever reads
     * takes for all files in turn. NULL: none. */
    int64_t (*memory)(const lloyd_row_file *file);
    int64_t (*thread_memory)(const lloyd_row_file *file);
    int64_t (*shared_memory)(const lloyd_row_file *file);

    /* How an open file stores its rows, for a person, into text; *stored: bytes on disk, 0 if
     * unknown. */
    void (*describe)(const lloyd_row_file *file, int64_t *stored, char *text, size_t bytes);
} lloyd_row_access;

/* A format. */
typedef struct lloyd_row_reader {
    const char *name; /* "NumPy" */
    const char
        *endings; /* ".fbin .u8bin": of file names, separated by spaces; "": content decides */

    /* Whether a file is of this format, by how it begins or by what is said of it. The first row of
     * the table that says so decides. NULL: by the endings alone. */
    int (*recognises)(const lloyd_raw_head *head);

    /* Of a format that is a header and rows of equal size, read with lloyd_raw_access: its layout.
     * A pure function of the head, whose numbers nobody has checked. Fills in rows, columns,
     * offset, prefix, type, wide and big_endian, and need not check that they fit the file. NULL
     * for others. */
    lloyd_status (*layout)(const lloyd_raw_head *head, lloyd_raw *raw);

    const lloyd_row_access *access;
} lloyd_row_reader;

#endif
