/* Models and labels as plain files (docs/formats.md): a folder with a file for each array. */
#ifndef LLOYD_EXPORT_H
#define LLOYD_EXPORT_H

#include "base/status.h"

#include <stdint.h>

typedef struct lloyd_export_job {
    const char *model;  /* a model, or labels */
    const char *folder; /* to make */
    const char *format; /* "npy", "fvecs" or "csv" */
    const char *version;
    int force; /* 1: replaces a folder that lloyd has not written, if its files have the same names */
} lloyd_export_job;

/* Writes the folder; *files = how many arrays it has. The arrays pass through a few megabytes of memory.
 * LLOYD_BAD_INPUT where the file is none of lloyd's, LLOYD_USAGE where the folder may not be replaced. */
lloyd_status lloyd_export_run(const lloyd_export_job *e, int *files);

#endif
