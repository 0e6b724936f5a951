/* The command line: argv to a struct, and the help text.
 *
 * One table per command (cli.c) holds every option once: its name, argument, help, kind, limits and
 * where its value goes. Parsing, the help text and the suggestions for typing errors all read that
 * table. Nothing here prints, exits or knows MPI.
 */
#ifndef LLOYD_CLI_H
#define LLOYD_CLI_H

#include "lloyd.h"

#include <stdio.h>

typedef enum lloyd_cli_command {
    LLOYD_CLI_FIT,
    LLOYD_CLI_PREDICT,
    LLOYD_CLI_INFO,
    LLOYD_CLI_REPORT,
    LLOYD_CLI_WRAP,
    LLOYD_CLI_SYNTH,
    LLOYD_CLI_HELP, /* as a help topic: the whole program */
    LLOYD_CLI_VERSION
} lloyd_cli_command;

/* A parsed command line. Only the part of `command` is meaningful. Strings point into argv, but
 * for `line` and the array `inputs`, which lloyd_cli_free() frees. */
typedef struct lloyd_cli {
    lloyd_cli_command command;
    lloyd_cli_command topic; /* of LLOYD_CLI_HELP */
    const char *program;     /* argv[0] */
    char *line;              /* the command line, quoted where a shell needs it */
    const char **inputs;     /* every --input */
    int input_count;
    lloyd_fit_options fit;
    lloyd_predict_options predict;
    lloyd_synth_options synth;
    lloyd_report_options report;
    const char *file;    /* info: FILE; wrap: RAW; report: MODEL.h5 */
    const char *dataset; /* info */
    const char *output;  /* wrap */
    int force;           /* wrap */
} lloyd_cli;

/* Parses argv. LLOYD_USAGE with a message where it is wrong; nothing is to be freed then. */
lloyd_status lloyd_cli_parse(int argc, char *const argv[], lloyd_cli *cli);
void lloyd_cli_free(lloyd_cli *cli);

/* The help text of a command, or of the program (LLOYD_CLI_HELP). */
void lloyd_cli_help(FILE *out, lloyd_cli_command topic);

/* The name of option `index` (0, 1, ...) of a command; NULL after the last. */
const char *lloyd_cli_option(lloyd_cli_command command, int index);

/* The candidate that `word` was probably meant to be: by Damerau-Levenshtein distance, at most a
 * third of the longer word, upper and lower case being one, or because `word` is its beginning.
 * NULL if none is that near. */
const char *lloyd_cli_suggest(const char *word, const char *const *candidates, int count);

/* `arg` as a POSIX shell needs it, in *quoted; free() it. */
lloyd_status lloyd_cli_quote(const char *arg, char **quoted);

/* The arguments joined by blanks, each quoted so, in *line; free() it. */
lloyd_status lloyd_cli_join(int argc, char *const argv[], char **line);

#endif
