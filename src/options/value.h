/* The value of an option: from text into its field, and checks of a field that a program has filled in. */
#ifndef LLOYD_OPTION_VALUE_H
#define LLOYD_OPTION_VALUE_H

#include "base/status.h"
#include "options/option.h"

/* The row of this name among `options`; NULL where there is none. */
const lloyd_option *lloyd_option_find(const lloyd_option *options, const char *name);

/* Stores what `text` says in the option's field of the struct at `fields`; of a flag, text is ignored.
 * Not for inputs. LLOYD_USAGE where it is no legal value. */
lloyd_status lloyd_option_set(const lloyd_option *option, const char *text, void *fields);

/* Stores the defaults of `options` in the struct at `fields`, which is all zeros. */
void lloyd_options_set_defaults(const lloyd_option *options, void *fields);

/* 1 where `text` is one of the option's choices. */
int lloyd_option_is_choice(const lloyd_option *option, const char *text);

/* LLOYD_USAGE where the fields hold a value that the command line would refuse. in_memory: 1 where the
 * rows are in memory, and options about files may not be given. */
lloyd_status lloyd_options_check(const lloyd_option *options, const void *fields, int in_memory);

/* "l2|cosine" into text. */
const char *lloyd_option_list_choices(const lloyd_option_choice *choices, const char *separator,
                                      char *text, size_t bytes);

#endif
