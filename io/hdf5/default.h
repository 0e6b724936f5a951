/* The rows of an HDF5 file of which no dataset is named. Private to io/. */
#ifndef LLOYD_IO_DEFAULT_H
#define LLOYD_IO_DEFAULT_H

#include "base/status.h"

#include <hdf5.h>

/* name = the dataset of an open file that is meant where none is named: the only two-dimensional
 * one, else /train. Free with free(). LLOYD_BAD_INPUT if there is none, or the file is a model, a
 * checkpoint or labels of lloyd. */
lloyd_status lloyd_default_dataset(hid_t file, const char *path, char **name);

#endif
