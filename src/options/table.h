/* The table of all commands and their options. */
#ifndef LLOYD_OPTION_TABLE_H
#define LLOYD_OPTION_TABLE_H

#include "options/option.h"

/* Indexed by lloyd_command_id. */
extern const lloyd_command lloyd_commands[LLOYD_COMMANDS];

/* The options of the commands that have no struct in lloyd.h. */
typedef struct lloyd_info_options {
    const char *dataset;
} lloyd_info_options;

typedef struct lloyd_wrap_options {
    const char *output;
    int force;
} lloyd_wrap_options;

#endif
