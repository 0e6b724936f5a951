/* The formats that rows are read from. docs/howto-add-format.md says how to add one. Private to
 * io/. */
#ifndef LLOYD_IO_REGISTRY_H
#define LLOYD_IO_REGISTRY_H

#include "io/readers/reader.h"

/* One row for each format, in the order in which they are asked whether a file is theirs: its file
 * in io/readers/ defines lloyd_reader_NAME. */
#define LLOYD_READERS(ROW) ROW(hdf5) ROW(npy) ROW(headerless) ROW(bin) ROW(vecs)

#define LLOYD_DECLARE_READER(name) extern const lloyd_row_reader lloyd_reader_##name;
LLOYD_READERS(LLOYD_DECLARE_READER)
#undef LLOYD_DECLARE_READER

/* *reader = that of the format of a file, of which `headerless` says what it holds if it has no
 * header (NULL, or 0 columns: it has one). A file that cannot be opened is HDF5's, whose reader says
 * why. LLOYD_BAD_INPUT if the file is of none of the formats, or has a header all the same. */
lloyd_status lloyd_reader_find(const char *path, const lloyd_headerless *headerless,
                               const lloyd_row_reader **reader);

/* The readers one by one, from index 0 on; NULL after the last. */
const lloyd_row_reader *lloyd_reader_at(int index);

#endif
