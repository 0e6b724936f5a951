/* The options of lloyd split. Private to src/options. */
#ifndef LLOYD_OPTION_SPLIT_H
#define LLOYD_OPTION_SPLIT_H

#include "options/option.h"

extern const lloyd_option lloyd_tool_split[]; /* ended by a name of NULL */

#endif
