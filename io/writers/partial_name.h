/* The name that an output has until it is complete, and what killed jobs have left under such
 * names. Private to io/. */
#ifndef LLOYD_IO_PARTIAL_NAME_H
#define LLOYD_IO_PARTIAL_NAME_H

#include "base/status.h"
#include "io/writers/output.h"

/* A new name for the partial file of `target`: TARGET.HOST-PID-PLACE-RANDOM.part, PLACE being a
 * hash of what a process number belongs to. Free with free(); NULL without memory. */
char *lloyd_partial_name(const char *target);

/* Whether `name` (without a folder) is kept for partial files of a file of the name `of`. */
int lloyd_partial_is_of(const char *name, const char *of);

/* What lloyd_output_tidy() does. */
lloyd_status lloyd_partial_tidy(const lloyd_output *output);

#endif
