/* See cli.h. What an option is called and what its value can be is in the table of options/table.c. */
#include "program/cli.h"

#include "options/suggest.h"
#include "options/value.h"
#include "program/quote.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 64 }; /* options of a command, and --help */

static lloyd_command_id id_of(const lloyd_command *command)
{
    return (lloyd_command_id)(command - lloyd_commands);
}

/* The struct with the options of a command. */
static void *fields_of(lloyd_cli *cli, lloyd_command_id command)
{
    switch (command) {
    case LLOYD_COMMAND_FIT: return &cli->fit;
    case LLOYD_COMMAND_PREDICT: return &cli->predict;
    case LLOYD_COMMAND_INFO: return &cli->info;
    case LLOYD_COMMAND_REPORT: return &cli->report;
    case LLOYD_COMMAND_EXPORT: return &cli->export;
    case LLOYD_COMMAND_SELECT: return &cli->select;
    case LLOYD_COMMAND_SPLIT: return &cli->split;
    case LLOYD_COMMAND_WRAP: return &cli->wrap;
    case LLOYD_COMMAND_SYNTH: return &cli->synth;
    default: return NULL;
    }
}

static void set_defaults(lloyd_cli *cli)
{
    *cli = (lloyd_cli){.command = LLOYD_COMMAND_HELP, .topic = LLOYD_COMMAND_HELP};
    for (int c = 0; c < LLOYD_COMMANDS; c++)
        lloyd_options_set_defaults(lloyd_commands[c].options, fields_of(cli, (lloyd_command_id)c));
}

/* How a command line is read: what comes next, and which options were given. */
typedef struct reader {
    int argc, next;
    char *const *argv;
    const lloyd_command *command;
    uint64_t given; /* bit i: options[i] */
    lloyd_cli *cli;
} reader;

static int is_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

/* Finds the option of "--seed", "--seed=7", "-k" or "-k8". Writes the name as it was given, without
 * the value, into `name`, and where the value begins into *value (NULL: not in this argument). */
static const lloyd_option *match_option(const reader *r, const char *arg, char *name, size_t bytes,
                                        const char **value)
{
    size_t length = arg[1] == '-' ? strcspn(arg, "=") : strlen(arg);
    *value = arg[length] == '=' ? arg + length + 1 : NULL;
    snprintf(name, bytes, "%.*s", length < bytes ? (int)length : (int)bytes - 1, arg);
    for (const lloyd_option *o = r->command->options; o->name != NULL; o++) {
        int is_letter = o->name[1] != '-';
        const char *letter = is_letter ? o->name : o->letter;
        if (letter != NULL && strncmp(arg, letter, 2) == 0) {
            if (arg[2] != '\0') *value = arg + 2;
            return o;
        }
        if (!is_letter && strlen(o->name) == length && strncmp(arg, o->name, length) == 0) return o;
    }
    return NULL;
}

static lloyd_status unknown_option(const lloyd_command *c, const char *name)
{
    const char *words[WORDS_MAX];
    int count = 0;
    for (const lloyd_option *o = c->options; o->name != NULL && count < WORDS_MAX - 1; o++)
        words[count++] = o->name;
    words[count++] = "--help";
    const char *nearest = lloyd_suggest(name, words, count);
    if (nearest != NULL)
        return lloyd_fail(LLOYD_USAGE, "lloyd %s has no option %s; did you mean %s?", c->name, name,
                          nearest);
    return lloyd_fail(LLOYD_USAGE, "lloyd %s has no option %s; lloyd %s --help lists its options",
                      c->name, name, c->name);
}

static lloyd_status set_value(reader *r, const lloyd_option *o, const char *text)
{
    if (o->kind != LLOYD_OPTION_INPUT)
        return lloyd_option_set(o, text, fields_of(r->cli, id_of(r->command)));
    r->cli->inputs[r->cli->input_count++] = text;
    return LLOYD_OK;
}

static lloyd_status read_option(reader *r)
{
    char name[64];
    const char *value;
    const char *arg = r->argv[r->next++];
    const lloyd_option *o = match_option(r, arg, name, sizeof name, &value);
    if (o == NULL) return unknown_option(r->command, name);

    uint64_t bit = (uint64_t)1 << (o - r->command->options);
    if (o->kind != LLOYD_OPTION_INPUT && (r->given & bit) != 0)
        return lloyd_fail(LLOYD_USAGE, "option %s is given twice; give it once", o->name);
    r->given |= bit;

    if (o->kind == LLOYD_OPTION_FLAG) {
        if (value != NULL)
            return lloyd_fail(LLOYD_USAGE,
                              "option %s takes no value, but '%s' is given; leave it out", o->name,
                              value);
        return set_value(r, o, NULL);
    }
    if (value == NULL) {
        if (r->next == r->argc)
            return lloyd_fail(LLOYD_USAGE, "option %s needs a value at the end of the command line",
                              o->name);
        value = r->argv[r->next++];
        /* "--output -k 8" has forgotten a value, "--tol -1" has given a wrong one. */
        if (value[0] == '-' && (value[1] == '-' || isalpha((unsigned char)value[1])))
            return lloyd_fail(LLOYD_USAGE, "option %s needs a value before %s%s%s%s", o->name,
                              value, o->name[1] == '-' ? " (if that is the value, write " : "",
                              o->name[1] == '-' ? o->name : "", o->name[1] == '-' ? "=VALUE)" : "");
    }
    if (*value == '\0')
        return lloyd_fail(LLOYD_USAGE, "option %s needs a value, but the one given is empty",
                          o->name);
    return set_value(r, o, value);
}

static lloyd_status read_positional(reader *r, const char *arg)
{
    const lloyd_command *c = r->command;
    if (c->positional == NULL && r->given == 0)
        return lloyd_fail(
            LLOYD_USAGE,
            "lloyd %s takes options only, so '%s' is out of place; lloyd %s --help lists them",
            c->name, arg, c->name);
    if (c->positional == NULL)
        return lloyd_fail(LLOYD_USAGE,
                          "lloyd %s takes options only, so '%s' is out of place (each file has its "
                          "own --input; a "
                          "glob goes in quotes)",
                          c->name, arg);
    if (*arg == '\0')
        return lloyd_fail(LLOYD_USAGE, "lloyd %s needs a %s, but the one given is empty", c->name,
                          c->positional);
    if (c->several) {
        r->cli->files[r->cli->file_count++] = arg;
        return LLOYD_OK;
    }
    if (r->cli->file != NULL)
        return lloyd_fail(LLOYD_USAGE, "lloyd %s takes one %s, so '%s' after '%s' is out of place",
                          c->name, c->positional, arg, r->cli->file);
    r->cli->file = arg;
    return LLOYD_OK;
}

/* Names everything that is missing, not only the first. */
static lloyd_status check_required(const reader *r)
{
    const lloyd_command *c = r->command;
    char missing[256] = "";
    size_t used = 0;
    if (c->positional != NULL && r->cli->file == NULL && r->cli->file_count == 0)
        used += (size_t)snprintf(missing, sizeof missing, "%s", c->positional);
    for (const lloyd_option *o = c->options; o->name != NULL && used < sizeof missing; o++)
        if (o->required && (r->given >> (o - c->options) & 1) == 0)
            used += (size_t)snprintf(missing + used, sizeof missing - used, "%s%s %s",
                                     used > 0 ? ", " : "", o->name, o->argument);
    if (used == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "lloyd %s needs %s; lloyd %s --help says more", c->name, missing,
                      c->name);
}

static lloyd_status read_command(reader *r)
{
    for (int i = r->next; i < r->argc && strcmp(r->argv[i], "--") != 0; i++) {
        if (is_help(r->argv[i])) {
            r->cli->command = LLOYD_COMMAND_HELP;
            r->cli->topic = id_of(r->command);
            return LLOYD_OK;
        }
    }
    int options_end = 0;
    while (r->next < r->argc) {
        const char *arg = r->argv[r->next];
        if (!options_end && strcmp(arg, "--") == 0) {
            options_end = 1;
            r->next++;
        } else if (!options_end && arg[0] == '-' && arg[1] != '\0') {
            LLOYD_TRY(read_option(r));
        } else {
            r->next++;
            LLOYD_TRY(read_positional(r, arg));
        }
    }
    LLOYD_TRY(check_required(r));
    const lloyd_fit_options *fit = &r->cli->fit;
    if (id_of(r->command) == LLOYD_COMMAND_FIT && fit->log != NULL &&
        strcmp(fit->log, fit->output) == 0)
        return lloyd_fail(LLOYD_USAGE,
                          "--log and --output are both %s; give each a file of its own", fit->log);
    return LLOYD_OK;
}

static lloyd_status unknown_command(const char *word)
{
    static const char *const more[] = {"help", "--help", "--version"};
    const char *words[LLOYD_COMMANDS + 3];
    int count = 0;
    for (int i = 0; i < LLOYD_COMMANDS; i++) words[count++] = lloyd_commands[i].name;
    for (int i = 0; i < 3; i++) words[count++] = more[i];
    const char *nearest = lloyd_suggest(word, words, count);
    const char *what = word[0] == '-' ? "option before the command" : "command";
    if (nearest != NULL)
        return lloyd_fail(LLOYD_USAGE, "there is no %s %s; did you mean %s?", what, word, nearest);
    return lloyd_fail(LLOYD_USAGE, "there is no %s '%s'; lloyd --help lists the commands", what,
                      word);
}

static const lloyd_command *command_named(const char *word)
{
    for (int i = 0; i < LLOYD_COMMANDS; i++)
        if (strcmp(word, lloyd_commands[i].name) == 0) return &lloyd_commands[i];
    return NULL;
}

/* `lloyd`, `lloyd help [COMMAND]`, `lloyd --help [COMMAND]`, `lloyd --version`, `lloyd COMMAND ...`. */
static lloyd_status read_line(reader *r)
{
    if (r->argc < 2)
        return lloyd_fail(LLOYD_USAGE, "no command is given; lloyd --help lists the commands");
    const char *word = r->argv[1];
    r->next = 2;
    r->command = command_named(word);
    if (r->command != NULL) {
        r->cli->command = id_of(r->command);
        return read_command(r);
    }
    int takes = 0; /* arguments after the word */
    if (strcmp(word, "--version") == 0) {
        r->cli->command = LLOYD_COMMAND_VERSION;
    } else if (strcmp(word, "help") == 0 || is_help(word)) {
        takes = 1;
        if (r->argc > 2 && !is_help(r->argv[2])) {
            const lloyd_command *topic = command_named(r->argv[2]);
            if (topic == NULL) return unknown_command(r->argv[2]);
            r->cli->topic = id_of(topic);
        }
    } else {
        return unknown_command(word);
    }
    if (r->argc > 2 + takes)
        return lloyd_fail(LLOYD_USAGE, "'%s' after lloyd %s is out of place", r->argv[2 + takes],
                          word);
    return LLOYD_OK;
}

lloyd_status lloyd_cli_parse(int argc, char *const argv[], lloyd_cli *cli)
{
    set_defaults(cli);
    cli->program = argc > 0 ? argv[0] : "lloyd";
    cli->inputs = calloc(2 * ((size_t)argc + 1), sizeof *cli->inputs);
    if (cli->inputs == NULL) return lloyd_fail(LLOYD_FAILED, "no memory for the command line");

    cli->files = cli->inputs + argc + 1;
    reader r = {.argc = argc, .argv = argv, .cli = cli};
    lloyd_status status = read_line(&r);
    if (status == LLOYD_OK) status = lloyd_quote_line(argc, argv, &cli->line);
    if (status != LLOYD_OK) {
        lloyd_cli_free(cli);
        return status;
    }
    cli->fit.inputs = cli->predict.inputs = cli->select.inputs = cli->inputs;
    cli->fit.input_count = cli->predict.input_count = cli->select.input_count = cli->input_count;
    cli->wrap.inputs = cli->select.clusters = cli->files;
    cli->wrap.input_count = cli->select.cluster_count = cli->file_count;
    cli->split.inputs = cli->inputs;
    cli->split.input_count = cli->input_count;
    cli->fit.command = cli->split.command = cli->line;
    cli->report.model = cli->export.model = cli->info.file = cli->file;
    return LLOYD_OK;
}

void lloyd_cli_free(lloyd_cli *cli)
{
    free(cli->line);
    free(cli->inputs);
    *cli = (lloyd_cli){.command = LLOYD_COMMAND_HELP};
}
