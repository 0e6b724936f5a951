/* The files that a dataset takes its elements from: its own, the raw files of external storage, the
 * sources of a virtual dataset, and theirs in turn. Private to io/. */
#ifndef LLOYD_IO_REFERENCES_H
#define LLOYD_IO_REFERENCES_H

#include "base/status.h"

typedef struct lloyd_visitor {
    lloyd_status (*visit)(void *data, const char *path);
    void *data;
} lloyd_visitor;

/* Calls `visitor` with every such file that is there but for `path` itself, and with all that are
 * there under a name that HDF5 might take. What is missing or damaged is left to whoever reads. */
lloyd_status lloyd_references(const char *path, const char *dataset, lloyd_visitor visitor);

#endif
