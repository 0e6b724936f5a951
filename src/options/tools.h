/* The options of the commands around fit and predict. Private to src/options. */
#ifndef LLOYD_OPTION_TOOLS_H
#define LLOYD_OPTION_TOOLS_H

#include "options/option.h"

/* Ended by a name of NULL. */
extern const lloyd_option lloyd_tool_info[], lloyd_tool_report[], lloyd_tool_export[],
    lloyd_tool_select[], lloyd_tool_wrap[], lloyd_tool_synth[];

#endif
