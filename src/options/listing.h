/* The options of a command as lists: lines of those with one role, and a line of JSON. */
#ifndef LLOYD_OPTION_LISTING_H
#define LLOYD_OPTION_LISTING_H

#include "base/status.h"
#include "options/option.h"

/* The options with this role, one per line, "--seed 7" or "no --weights", in *lines; free() it. A model as
 * --init is "--init MODEL", with the hash of its centroids, `init`, where that is not 0. */
lloyd_status lloyd_options_list(const lloyd_option *options, const void *fields,
                                lloyd_option_role role, uint64_t init, char **lines);

/* All options that models record as one line of JSON, in *json; free() it. */
lloyd_status lloyd_options_to_json(const lloyd_option *options, const void *fields, char **json);

#endif
