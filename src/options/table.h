/* The table of all commands and their options. */
#ifndef LLOYD_OPTION_TABLE_H
#define LLOYD_OPTION_TABLE_H

#include "options/option.h"

/* Indexed by lloyd_command_id. */
extern const lloyd_command lloyd_commands[LLOYD_COMMANDS];

#endif
