/* The command line: argv to the options of a command. Nothing here prints, exits or knows MPI. */
#ifndef LLOYD_CLI_H
#define LLOYD_CLI_H

#include "lloyd/lloyd.h"
#include "options/table.h"

/* A parsed command line. Only the part of `command` is meaningful. Strings point into argv, but
 * for `line` and the arrays `inputs` and `files`, which lloyd_cli_free() frees. */
typedef struct lloyd_cli {
    lloyd_command_id command;
    lloyd_command_id topic; /* of LLOYD_COMMAND_HELP */
    const char *program;    /* argv[0] */
    char *line;             /* the command line, quoted where a shell needs it */
    const char **inputs;    /* every --input */
    const char **files;     /* every argument without an option, where there may be several */
    int input_count, file_count;
    lloyd_fit_options fit;
    lloyd_predict_options predict;
    lloyd_synth_options synth;
    lloyd_report_options report;
    lloyd_export_options export;
    lloyd_select_options select;
    lloyd_split_options split;
    lloyd_info_options info;
    lloyd_wrap_options wrap;
    const char *file; /* info: FILE; report, export: MODEL.h5 */
} lloyd_cli;

/* Parses argv. LLOYD_USAGE with a message where it is wrong; nothing is to be freed then. */
lloyd_status lloyd_cli_parse(int argc, char *const argv[], lloyd_cli *cli);
void lloyd_cli_free(lloyd_cli *cli);

#endif
