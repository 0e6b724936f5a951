/* The name that an output has until it is complete, and what killed jobs have left under such names.
 * Private to io/. */
#ifndef LLOYD_IO_PART_NAME_H
#define LLOYD_IO_PART_NAME_H

#include "base/status.h"
#include "io/writers/output.h"

/* A new name for the part file of `target`: TARGET.HOST-PID-PLACE-RANDOM.part, PLACE being a hash of
 * what a process number belongs to. Free with free(); NULL without memory. */
char *lloyd_part_name(const char *target);

/* Whether `name` (without a folder) is kept for part files of a file of the name `of`. */
int lloyd_part_is_of(const char *name, const char *of);

/* What lloyd_output_tidy() does. */
lloyd_status lloyd_part_tidy(const lloyd_output *output);

#endif
