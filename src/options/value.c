/* See value.h. */
#include "options/value.h"

#include "options/suggest.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const lloyd_option *lloyd_option_find(const lloyd_option *options, const char *name)
{
    for (const lloyd_option *o = options; o->name != NULL; o++)
        if (strcmp(o->name, name) == 0) return o;
    return NULL;
}

/* ---- From text ------------------------------------------------------------------------- */

const char *lloyd_option_list_choices(const lloyd_option_choice *choices, const char *separator,
                                      char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (const lloyd_option_choice *c = choices; c->name != NULL && used < bytes; c++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", c == choices ? "" : separator,
                                 c->name);
    return text;
}

typedef enum number { NUMBER_OK, NUMBER_NONE, NUMBER_RANGE } number;

/* Decimal digits, and a '-' which makes it out of range unless zero follows. Nothing else: no
 * blanks, '+', hex, exponents or suffixes, so that no two people read a script differently. */
static number read_whole(const char *text, uint64_t *value)
{
    int negative = *text == '-';
    const char *digits = text + negative;
    if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0') return NUMBER_NONE;
    *value = 0;
    for (; *digits != '\0'; digits++) {
        uint64_t digit = (uint64_t)(*digits - '0');
        if (*value > (UINT64_MAX - digit) / 10) return NUMBER_RANGE;
        *value = *value * 10 + digit;
    }
    return negative && *value != 0 ? NUMBER_RANGE : NUMBER_OK;
}

static lloyd_status set_whole(const lloyd_option *o, const char *text, void *to)
{
    uint64_t least = o->kind == LLOYD_OPTION_SEED ? 0 : (uint64_t)o->least;
    uint64_t most = o->kind == LLOYD_OPTION_SEED ? UINT64_MAX : (uint64_t)o->most;
    uint64_t value = 0;
    number read = read_whole(text, &value);
    if (read == NUMBER_OK && (value < least || value > most)) read = NUMBER_RANGE;
    if (read != NUMBER_OK)
        return lloyd_fail(LLOYD_USAGE,
                          "option %s: '%s' is %s; give a whole number from %llu to %llu", o->name,
                          text, read == NUMBER_NONE ? "not a whole number" : "out of range",
                          (unsigned long long)least, (unsigned long long)most);
    if (o->kind == LLOYD_OPTION_SEED)
        *(uint64_t *)to = value;
    else
        *(int64_t *)to = (int64_t)value;
    return LLOYD_OK;
}

/* What a suffix multiplies with, as GNU tools read it: G and GiB 1024^3, GB 1000^3; 0: it is none. */
static uint64_t suffix_factor(const char *suffix)
{
    static const char letters[] = "KMGT";
    if (*suffix == '\0') return 1;
    const char *letter = strchr(letters, toupper((unsigned char)*suffix));
    if (letter == NULL) return 0;
    int thousands = strcmp(suffix + 1, "B") == 0;
    if (!thousands && suffix[1] != '\0' && strcmp(suffix + 1, "iB") != 0) return 0;
    uint64_t factor = 1;
    for (const char *l = letters; l <= letter; l++) factor *= thousands ? 1000 : 1024;
    return factor;
}

static lloyd_status set_bytes(const lloyd_option *o, const char *text, int64_t *to)
{
    char digits[32];
    size_t length = strspn(text, "0123456789");
    snprintf(digits, sizeof digits, "%.*s", length < sizeof digits ? (int)length : 0, text);
    uint64_t value = 0, factor = suffix_factor(text + length);
    if (factor == 0 || read_whole(digits, &value) != NUMBER_OK || value == 0 ||
        value > (uint64_t)o->most / factor)
        return lloyd_fail(
            LLOYD_USAGE,
            "option %s: '%s' is not an amount of memory; give a whole number of bytes, or "
            "one with a suffix: 64G or 64GiB (2^30 each), 64GB (10^9 each)",
            o->name, text);
    *to = (int64_t)(value * factor);
    return LLOYD_OK;
}

/* Whether the text is a number: no blanks, inf, nan or hex. */
static int read_real(const char *text, double *value)
{
    char *end = NULL;
    int plain = *text != '\0' && text[strspn(text, "0123456789.eE+-")] == '\0';
    *value = plain ? strtod(text, &end) : 0;
    return plain && *end == '\0';
}

static lloyd_status set_real(const lloyd_option *o, const char *text, double *to)
{
    double value;
    int read = read_real(text, &value);
    if (!read || !isfinite(value) || value < 0)
        return lloyd_fail(LLOYD_USAGE, "option %s: '%s' is %s; give a finite number, 0 or greater",
                          o->name, text, read ? "out of range" : "not a number");
    *to = value;
    return LLOYD_OK;
}

static int is_share(double value)
{
    return value > 0 && value < 1;
}

static lloyd_status set_share(const lloyd_option *o, const char *text, double *to)
{
    if (read_real(text, to) && is_share(*to)) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "option %s: '%s' is no number between 0 and 1; give one such as 0.95",
                      o->name, text);
}

static int is_factor(double value)
{
    return value >= 1 && isfinite(value);
}

static lloyd_status set_factor(const lloyd_option *o, const char *text, double *to)
{
    if (read_real(text, to) && is_factor(*to)) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "option %s: '%s' is no number of 1 or more; give one such as 1.2", o->name,
                      text);
}

static lloyd_status set_period(const lloyd_option *o, const char *text, double *to)
{
    size_t digits = strspn(text, "0123456789.");
    const char *unit = text + digits;
    char *end = NULL;
    double value = digits > 0 ? strtod(text, &end) : 0;
    int read = digits > 0 && end == unit && (*unit == '\0' || (strchr("smh", *unit) && !unit[1]));
    value *= *unit == 'h' ? 3600 : *unit == 'm' ? 60 : 1;
    if (!read || !isfinite(value) || value <= 0)
        return lloyd_fail(
            LLOYD_USAGE,
            "option %s: '%s' is not a time; give seconds, or a number with s, m or h, "
            "such as 10m",
            o->name, text);
    *to = value;
    return LLOYD_OK;
}

static lloyd_status set_choice(const lloyd_option *o, const char *text, const char **to)
{
    for (const lloyd_option_choice *c = o->choices; c->name != NULL; c++) {
        if (strcmp(text, c->name) == 0) {
            *to = c->name;
            return LLOYD_OK;
        }
    }
    const char *nearest = lloyd_suggest_choice(text, o->choices);
    /* A file stays as it is: whether it exists and is a model is found out by opening it. */
    if (o->kind == LLOYD_OPTION_INIT && (nearest == NULL || strpbrk(text, "./") != NULL)) {
        *to = text;
        return LLOYD_OK;
    }
    char list[160];
    lloyd_option_list_choices(o->choices, ", ", list, sizeof list);
    return lloyd_fail(LLOYD_USAGE, "option %s: '%s' is none of %s%s%s%s%s%s", o->name, text, list,
                      o->kind == LLOYD_OPTION_INIT ? " or a model file such as " : "",
                      o->kind == LLOYD_OPTION_INIT ? o->argument : "",
                      nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

lloyd_status lloyd_option_set(const lloyd_option *o, const char *text, void *fields)
{
    void *to = (char *)fields + o->offset;
    switch (o->kind) {
    case LLOYD_OPTION_FLAG: *(int *)to = 1; return LLOYD_OK;
    case LLOYD_OPTION_INPUT: return lloyd_fail(LLOYD_FAILED, "inputs are a list");
    case LLOYD_OPTION_TEXT: *(const char **)to = text; return LLOYD_OK;
    case LLOYD_OPTION_CHOICE:
    case LLOYD_OPTION_INIT: return set_choice(o, text, to);
    case LLOYD_OPTION_WHOLE:
    case LLOYD_OPTION_SEED: return set_whole(o, text, to);
    case LLOYD_OPTION_BYTES: return set_bytes(o, text, to);
    case LLOYD_OPTION_REAL: return set_real(o, text, to);
    case LLOYD_OPTION_SHARE: return set_share(o, text, to);
    case LLOYD_OPTION_FACTOR: return set_factor(o, text, to);
    case LLOYD_OPTION_PERIOD: return set_period(o, text, to);
    }
    return LLOYD_OK;
}

void lloyd_options_set_defaults(const lloyd_option *options, void *fields)
{
    for (const lloyd_option *o = options; o->name != NULL; o++)
        if (o->standard != NULL) (void)lloyd_option_set(o, o->standard, fields);
}

/* ---- Checks ---------------------------------------------------------------------------- */

/* A field, as the type of its kind. */
static int flag_at(const lloyd_option *o, const void *fields)
{
    return *(const int *)((const char *)fields + o->offset);
}

static const char *text_at(const lloyd_option *o, const void *fields)
{
    return *(const char *const *)((const char *)fields + o->offset);
}

static int64_t whole_at(const lloyd_option *o, const void *fields)
{
    return *(const int64_t *)((const char *)fields + o->offset);
}

static double real_at(const lloyd_option *o, const void *fields)
{
    return *(const double *)((const char *)fields + o->offset);
}

/* Of a list: its array, and its length in the field after that. */
static const char *const *inputs_at(const lloyd_option *o, const void *fields, int *count)
{
    const void *at = (const char *)fields + o->offset;
    *count = *(const int *)((const char *)at + sizeof(const char *const *));
    return *(const char *const *const *)at;
}

static int is_given(const lloyd_option *o, const void *fields)
{
    int count = 0;
    switch (o->kind) {
    case LLOYD_OPTION_FLAG: return flag_at(o, fields) != 0;
    case LLOYD_OPTION_INPUT: return inputs_at(o, fields, &count) != NULL || count != 0;
    case LLOYD_OPTION_TEXT:
    case LLOYD_OPTION_CHOICE:
    case LLOYD_OPTION_INIT: return text_at(o, fields) != NULL;
    case LLOYD_OPTION_WHOLE:
    case LLOYD_OPTION_BYTES:
    case LLOYD_OPTION_SEED: return whole_at(o, fields) != 0;
    case LLOYD_OPTION_REAL:
    case LLOYD_OPTION_SHARE:
    case LLOYD_OPTION_FACTOR:
    case LLOYD_OPTION_PERIOD: return real_at(o, fields) != 0;
    }
    return 0;
}

int lloyd_option_is_choice(const lloyd_option *o, const char *text)
{
    for (const lloyd_option_choice *c = o->choices; c->name != NULL; c++)
        if (strcmp(text, c->name) == 0) return 1;
    return 0;
}

static lloyd_status check_inputs(const lloyd_option *o, const void *fields)
{
    int count;
    const char *const *inputs = inputs_at(o, fields, &count);
    if (count == 0 && !o->required) return LLOYD_OK;
    if (count < 1 || inputs == NULL)
        return lloyd_fail(LLOYD_USAGE, "%s is missing; name a file", o->name);
    for (int i = 0; i < count; i++) {
        if (inputs[i] != NULL && *inputs[i] != '\0') continue;
        return lloyd_fail(LLOYD_USAGE, "%s number %d of %d is empty; name a file", o->name, i + 1,
                          count);
    }
    return LLOYD_OK;
}

static lloyd_status check_text(const lloyd_option *o, const char *text)
{
    if (text == NULL && o->required)
        return lloyd_fail(LLOYD_USAGE, "%s is missing; give a name", o->name);
    if (text == NULL || *text != '\0') return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "%s is empty; give a name%s", o->name,
                      o->required ? "" : ", or leave it out");
}

static lloyd_status check_choice(const lloyd_option *o, const char *text)
{
    char list[160];
    if (text != NULL && lloyd_option_is_choice(o, text)) return LLOYD_OK;
    if (text == NULL && o->standard == NULL && !o->required) return LLOYD_OK;
    if (text != NULL && *text != '\0' && o->kind == LLOYD_OPTION_INIT) return LLOYD_OK;
    lloyd_option_list_choices(o->choices, ", ", list, sizeof list);
    return lloyd_fail(LLOYD_USAGE, "%s cannot be '%s'; it is one of %s%s", o->name,
                      text != NULL ? text : "", list,
                      o->kind == LLOYD_OPTION_INIT ? ", or a model file" : "");
}

/* 0 is "not given" where that is allowed. */
static lloyd_status check_whole(const lloyd_option *o, int64_t value)
{
    int needed = o->required || o->standard != NULL;
    if ((value >= o->least && value <= o->most) || (value == 0 && !needed)) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "%s %lld: must be at %s %lld", o->name, (long long)value,
                      value < o->least ? "least" : "most",
                      (long long)(value < o->least ? o->least : o->most));
}

static lloyd_status check_option(const lloyd_option *o, const void *fields)
{
    switch (o->kind) {
    case LLOYD_OPTION_INPUT: return check_inputs(o, fields);
    case LLOYD_OPTION_TEXT: return check_text(o, text_at(o, fields));
    case LLOYD_OPTION_CHOICE:
    case LLOYD_OPTION_INIT: return check_choice(o, text_at(o, fields));
    case LLOYD_OPTION_WHOLE:
    case LLOYD_OPTION_BYTES: return check_whole(o, whole_at(o, fields));
    case LLOYD_OPTION_REAL:
        if (real_at(o, fields) >= 0 && !isinf(real_at(o, fields))) return LLOYD_OK;
        return lloyd_fail(LLOYD_USAGE, "%s %g: must be finite and not negative", o->name,
                          real_at(o, fields));
    case LLOYD_OPTION_SHARE:
        if (real_at(o, fields) == 0 || is_share(real_at(o, fields))) return LLOYD_OK;
        return lloyd_fail(LLOYD_USAGE, "%s %g: must be above 0 and below 1", o->name,
                          real_at(o, fields));
    case LLOYD_OPTION_FACTOR:
        if (real_at(o, fields) == 0 || is_factor(real_at(o, fields))) return LLOYD_OK;
        return lloyd_fail(LLOYD_USAGE, "%s %g: must be finite, and 1 or more", o->name,
                          real_at(o, fields));
    case LLOYD_OPTION_PERIOD:
        if (real_at(o, fields) > 0 && !isinf(real_at(o, fields))) return LLOYD_OK;
        return lloyd_fail(LLOYD_USAGE, "%s %g: must be finite and more than 0 seconds", o->name,
                          real_at(o, fields));
    case LLOYD_OPTION_FLAG:
    case LLOYD_OPTION_SEED: return LLOYD_OK;
    }
    return LLOYD_OK;
}

lloyd_status lloyd_options_check(const lloyd_option *options, const void *fields, int in_memory)
{
    for (const lloyd_option *o = options; o->name != NULL; o++) {
        if (!in_memory || !o->of_files)
            LLOYD_TRY(check_option(o, fields));
        else if (is_given(o, fields))
            return lloyd_fail(
                LLOYD_USAGE,
                "rows in memory have no files, so %s makes no sense; leave it at its default",
                o->name);
    }
    return LLOYD_OK;
}
