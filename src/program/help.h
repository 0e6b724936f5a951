/* The help texts, which follow from the table of options. */
#ifndef LLOYD_HELP_H
#define LLOYD_HELP_H

#include "options/option.h"

#include <stdio.h>

/* The help text of a command, or of the program (LLOYD_COMMAND_HELP). */
void lloyd_help(FILE *out, lloyd_command_id topic);

#endif
