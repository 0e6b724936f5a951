/* See listing.h. */
#include "options/listing.h"

#include "base/json.h"
#include "options/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of an option, copied to *value, which has its type. */
static void get(const lloyd_option *o, const void *fields, void *value, size_t size)
{
    memcpy(value, (const char *)fields + o->offset, size);
}

static void put_text(FILE *out, const lloyd_option *o, const void *fields, uint64_t init)
{
    const char *text;
    get(o, fields, &text, sizeof text);
    int model = text && o->kind == LLOYD_OPTION_INIT && !lloyd_option_is_choice(o, text);
    if (!text)
        fprintf(out, "no %s", o->name);
    else
        fprintf(out, "%s %s", o->name, model ? "MODEL" : text);
    if (model && init != 0) fprintf(out, " (with the centroids %016llx)", (unsigned long long)init);
}

/* "--name value", or "no --name" where it is not given. */
static void put_line(FILE *out, const lloyd_option *o, const void *fields, uint64_t init)
{
    int64_t whole = 0;
    uint64_t seed = 0;
    double real = 0;
    int flag = 0;
    switch (o->kind) {
    case LLOYD_OPTION_INPUT: return; /* files are compared by what is in them */
    case LLOYD_OPTION_TEXT:
    case LLOYD_OPTION_CHOICE:
    case LLOYD_OPTION_INIT: put_text(out, o, fields, init); break;
    case LLOYD_OPTION_WHOLE:
    case LLOYD_OPTION_BYTES:
        get(o, fields, &whole, sizeof whole);
        if (whole < o->least)
            fprintf(out, "no %s", o->name);
        else
            fprintf(out, "%s %lld", o->name, (long long)whole);
        break;
    case LLOYD_OPTION_SEED:
        get(o, fields, &seed, sizeof seed);
        fprintf(out, "%s %llu", o->name, (unsigned long long)seed);
        break;
    case LLOYD_OPTION_REAL:
    case LLOYD_OPTION_SHARE:
    case LLOYD_OPTION_PERIOD:
        get(o, fields, &real, sizeof real);
        fprintf(out, "%s ", o->name);
        lloyd_json_number(out, real);
        break;
    case LLOYD_OPTION_FACTOR:
        get(o, fields, &real, sizeof real);
        fprintf(out, "%s%s", real > 0 ? "" : "no ", o->name);
        if (real > 0) fputc(' ', out);
        if (real > 0) lloyd_json_number(out, real);
        break;
    case LLOYD_OPTION_FLAG:
        get(o, fields, &flag, sizeof flag);
        fprintf(out, "%s%s", flag ? "" : "no ", o->name);
        break;
    }
    fputc('\n', out);
}

/* Ends what was written to memory. */
static lloyd_status finish(FILE *out, char **text)
{
    if (fclose(out) == 0) return LLOYD_OK;
    free(*text);
    *text = NULL;
    return lloyd_fail(LLOYD_FAILED, "out of memory for the list of options");
}

lloyd_status lloyd_options_list(const lloyd_option *options, const void *fields,
                                lloyd_option_role role, uint64_t init, char **lines)
{
    size_t bytes = 0;
    FILE *out = open_memstream(lines, &bytes);
    if (!out) return lloyd_fail(LLOYD_FAILED, "out of memory for the list of options");
    for (const lloyd_option *o = options; o->name != NULL; o++)
        if (o->role == role) put_line(out, o, fields, init);
    return finish(out, lines);
}

static void put_inputs(FILE *out, const lloyd_option *o, const void *fields)
{
    const char *const *inputs;
    int count;
    get(o, fields, &inputs, sizeof inputs);
    memcpy(&count, (const char *)fields + o->offset + sizeof inputs, sizeof count);
    fputc('[', out);
    for (int i = 0; i < count; i++) {
        if (i > 0) fputc(',', out);
        lloyd_json_text(out, inputs[i]);
    }
    fputc(']', out);
}

static void put_json(FILE *out, const lloyd_option *o, const void *fields)
{
    const char *text;
    int64_t whole;
    uint64_t seed;
    double real;
    int flag;
    switch (o->kind) {
    case LLOYD_OPTION_INPUT: put_inputs(out, o, fields); break;
    case LLOYD_OPTION_TEXT:
    case LLOYD_OPTION_CHOICE:
    case LLOYD_OPTION_INIT:
        get(o, fields, &text, sizeof text);
        lloyd_json_text(out, text);
        break;
    case LLOYD_OPTION_WHOLE:
    case LLOYD_OPTION_BYTES:
        get(o, fields, &whole, sizeof whole);
        fprintf(out, "%lld", (long long)whole);
        break;
    case LLOYD_OPTION_SEED:
        get(o, fields, &seed, sizeof seed);
        fprintf(out, "%llu", (unsigned long long)seed);
        break;
    case LLOYD_OPTION_REAL:
    case LLOYD_OPTION_SHARE:
    case LLOYD_OPTION_FACTOR:
    case LLOYD_OPTION_PERIOD:
        get(o, fields, &real, sizeof real);
        lloyd_json_number(out, real);
        break;
    case LLOYD_OPTION_FLAG:
        get(o, fields, &flag, sizeof flag);
        fputs(flag ? "true" : "false", out);
        break;
    }
}

lloyd_status lloyd_options_to_json(const lloyd_option *options, const void *fields, char **json)
{
    size_t bytes = 0;
    const char *between = "{";
    FILE *out = open_memstream(json, &bytes);
    if (!out) return lloyd_fail(LLOYD_FAILED, "out of memory for the list of options");
    for (const lloyd_option *o = options; o->name != NULL; o++) {
        if (o->unrecorded) continue;
        fprintf(out, "%s\"%s\":", between, o->name + strspn(o->name, "-"));
        put_json(out, o, fields);
        between = ",";
    }
    fputc('}', out);
    return finish(out, json);
}
