/* See help.h. */
#include "program/help.h"

#include "lloyd/lloyd.h"
#include "options/table.h"
#include "options/value.h"

#include <string.h>

enum { HELP_WIDTH = 80 };

/* The text in lines of at most HELP_WIDTH columns, each after `indent` blanks. A tab is a blank at
 * which no line ends. */
static void print_wrapped(FILE *out, int indent, const char *text)
{
    int column = 0;
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + length > HELP_WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        column += column == 0 ? fprintf(out, "%*s", indent, "") : fprintf(out, " ");
        for (int i = 0; i < length; i++) fputc(text[i] == '\t' ? ' ' : text[i], out);
        column += length;
        text += length + (text[length] == ' ');
    }
    fputc('\n', out);
}

/* "--metric l2|cosine" into text. */
static const char *signature(const lloyd_option *o, char *text, size_t bytes)
{
    char list[160] = "";
    if (o->choices != NULL) lloyd_option_list_choices(o->choices, "|", list, sizeof list);
    snprintf(text, bytes, "%s%s%s%s%s", o->name, o->kind == LLOYD_OPTION_FLAG ? "" : " ", list,
             o->choices != NULL && o->argument != NULL ? "|" : "",
             o->argument != NULL ? o->argument : "");
    return text;
}

static void help_command(FILE *out, const lloyd_command *c)
{
    char text[256], paragraph[1024];
    fprintf(out, "Usage: lloyd %s", c->name);
    if (c->positional != NULL) fprintf(out, " %s%s", c->positional, c->several ? " ..." : "");
    int optional = 0;
    for (const lloyd_option *o = c->options; o->name != NULL; o++) {
        if (o->required)
            fprintf(out, " %s", signature(o, text, sizeof text));
        else
            optional = 1;
    }
    fprintf(out, "%s\n\n", optional ? " [OPTION ...]" : "");
    print_wrapped(out, 0, c->help);
    if (c->options->name != NULL) fprintf(out, "\nOptions:\n");
    for (const lloyd_option *o = c->options; o->name != NULL; o++) {
        fprintf(out, "  %s%s%s\n", o->letter != NULL ? o->letter : "",
                o->letter != NULL ? ", " : "", signature(o, text, sizeof text));
        snprintf(paragraph, sizeof paragraph, "%s%s%s%s", o->help,
                 o->standard != NULL ? " Default:\t" : "", o->standard != NULL ? o->standard : "",
                 o->standard != NULL ? "." : "");
        print_wrapped(out, 6, paragraph);
    }
    fprintf(out, "\nExample:\n  %s\n", c->example);
}

void lloyd_help(FILE *out, lloyd_command_id topic)
{
    if (topic < LLOYD_COMMANDS) {
        help_command(out, &lloyd_commands[topic]);
        return;
    }
    fprintf(out,
            "lloyd " LLOYD_VERSION ": exact k-means for vectors that do not fit one machine\n\n"
            "Usage: lloyd COMMAND [OPTION ...]\n\nCommands:\n");
    for (int i = 0; i < LLOYD_COMMANDS; i++)
        fprintf(out, "  %-9s%s\n", lloyd_commands[i].name, lloyd_commands[i].brief);
    fprintf(out, "  %-9s%s\n", "help", "show this, or the options of a command: lloyd help fit");
    fprintf(out, "\nOptions:\n  --help     show this; before or after a command, its options\n"
                 "  --version  show the version\n\nFirst steps:\n"
                 "  lloyd synth --rows 100000 --dim 64 --clusters 50 --output x.h5\n"
                 "  mpirun -n 2 lloyd fit --input x.h5 -k 50 --output model.h5\n"
                 "  lloyd info model.h5\n\n"
                 "Exit status: 0 done, 1 failed while running, 2 wrong usage, 3 bad input,\n"
                 "75 stopped by a signal (with --checkpoint, continue with --resume).\n");
}
