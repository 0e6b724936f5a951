/* The options of every command, each declared once, in table.c.
 *
 * From an option's row follow: how the command line is read, the default (of lloyd_fit_defaults() too), the
 * values that are legal (for callers of the C interface too), the suggestion after a typing error, the
 * help text, what a model records, what all ranks must have alike and what a fit that is resumed may
 * not change; and, by docs/options.py, the manual page, the completion of bash and docs/options.md.
 *
 * To add an option to a command:
 *   1. its field in the command's struct in lloyd.h, for which 0 or NULL means "not given";
 *   2. its row in table.c;
 *   3. the code that uses the field.
 * Then build and run docs/options.py, which writes the documents. Tests fail where a field has no row, and
 * where a document is not what docs/options.py writes.
 */
#ifndef LLOYD_OPTION_H
#define LLOYD_OPTION_H

#include <stddef.h>
#include <stdint.h>

/* What a value is: its syntax on the command line, and the type of its field. */
typedef enum lloyd_option_kind {
    LLOYD_OPTION_FLAG,   /* no value; int */
    LLOYD_OPTION_TEXT,   /* any text that is not empty; const char *, NULL where it is not given */
    LLOYD_OPTION_INPUT,  /* as TEXT, may be repeated; an array, with its length in the next field */
    LLOYD_OPTION_CHOICE, /* one of `choices`; const char * */
    LLOYD_OPTION_INIT,   /* one of `choices` or a file; const char * */
    LLOYD_OPTION_WHOLE,  /* a whole number from `least` to `most`; int64_t */
    LLOYD_OPTION_BYTES,  /* the same, with a suffix such as G, GB or GiB */
    LLOYD_OPTION_SEED,   /* any unsigned 64-bit number; uint64_t */
    LLOYD_OPTION_REAL,   /* a finite number >= 0; double */
    LLOYD_OPTION_SHARE,  /* a number above 0 and below 1; double, 0 where it is not given */
    LLOYD_OPTION_FACTOR, /* a finite number >= 1; double, 0 where it is not given */
    LLOYD_OPTION_PERIOD  /* a number > 0 of seconds, or with s, m or h; double, in seconds */
} lloyd_option_kind;

/* What depends on an option. An option whose row does not say is taken to decide the result, so a
 * forgotten role makes ranks and resumed fits too strict, and never wrong. */
typedef enum lloyd_option_role {
    LLOYD_OPTION_DECIDES, /* the result: the same on all ranks, and in a fit that is resumed */
    LLOYD_OPTION_ALIKE, /* collective calls or the files that are written: the same on all ranks */
    LLOYD_OPTION_OWN    /* neither: each rank may have its own */
} lloyd_option_role;

/* A legal value. Somebody who writes `alias` gets `name` as a suggestion. */
typedef struct lloyd_option_choice {
    const char *name, *alias;
} lloyd_option_choice;

typedef struct lloyd_option {
    const char *name;     /* "--metric", or "-k" where there is only a letter */
    const char *letter;   /* another name, "-o", or NULL */
    const char *argument; /* what the help calls the value; NULL where the choices say it */
    const char *help;
    lloyd_option_kind kind;
    lloyd_option_role role;
    int required;
    int of_files;         /* 1: rows in memory, which have no files, refuse it */
    int unrecorded;       /* 1: models do not name it in their attribute `options` */
    size_t offset;        /* of the field in the command's struct */
    const char *standard; /* the default, as one would write it; NULL: it is not given then */
    const lloyd_option_choice *choices; /* ended by a name of NULL */
    int64_t least, most;
} lloyd_option;

typedef enum lloyd_command_id {
    LLOYD_COMMAND_FIT,
    LLOYD_COMMAND_PREDICT,
    LLOYD_COMMAND_INFO,
    LLOYD_COMMAND_REPORT,
    LLOYD_COMMAND_EXPORT,
    LLOYD_COMMAND_SELECT,
    LLOYD_COMMAND_SPLIT,
    LLOYD_COMMAND_WRAP,
    LLOYD_COMMAND_SYNTH,
    LLOYD_COMMANDS,
    LLOYD_COMMAND_HELP =
        LLOYD_COMMANDS, /* these two have no row; as a help topic: the whole program */
    LLOYD_COMMAND_VERSION
} lloyd_command_id;

typedef struct lloyd_command {
    const char *name, *brief, *help, *example;
    const char *positional;      /* the argument without an option, or NULL */
    int several;                 /* 1: there may be several of these */
    const lloyd_option *options; /* ended by a name of NULL */
} lloyd_command;

#endif
