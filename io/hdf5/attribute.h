/* Attributes of a file's root group, for reading. Private to io/. */
#ifndef LLOYD_IO_ATTRIBUTE_H
#define LLOYD_IO_ATTRIBUTE_H

#include "base/status.h"

#include <hdf5.h>

/* Reads a numeric attribute of a file's root; leaves *value alone where there is none. */
lloyd_status lloyd_h5_number(const char *path, hid_t file, const char *name, hid_t as, void *value);

/* *text = a text attribute of a file's root, "" where there is none; free with free(), also after a
 * failure. */
lloyd_status lloyd_h5_text(const char *path, hid_t file, const char *name, char **text);

#endif
