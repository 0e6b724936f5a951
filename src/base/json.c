/* See json.h. Names and texts are decoded where they stand: no escape is shorter than what it
 * stands for. */
#include "base/json.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *skip_blanks(char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* The four hexadecimal digits at `at`, -1 where they are not. */
static long hex4(const char *at)
{
    char digits[5] = "";
    if (strspn(at, "0123456789abcdefABCDEF") < 4) return -1;
    memcpy(digits, at, 4);
    return strtol(digits, NULL, 16);
}

static char *put_utf8(char *to, unsigned long code)
{
    if (code == 0) code = 0xfffd; /* would end the text */
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* Decodes \uXXXX, or two that are one character, after "\u" at *at. NULL where it is none. */
static char *unicode(char **at, char *to)
{
    long code = hex4(*at);
    if (code < 0) return NULL;
    *at += 4;
    if (code >= 0xd800 && code < 0xdc00 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        long low = hex4(*at + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            *at += 6;
            return put_utf8(to, 0x10000 + ((unsigned long)(code - 0xd800) << 10) +
                                    (unsigned long)(low - 0xdc00));
        }
    }
    return put_utf8(to, code >= 0xd800 && code < 0xe000 ? 0xfffd : (unsigned long)code);
}

/* Decodes the text whose quote *at points to, and ends it. NULL where there is none. */
static char *text(char **at, size_t *length)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (**at != '"') return NULL;
    char *begin = ++*at, *to = begin;
    while (**at != '"') {
        if (**at == '\0') return NULL;
        if (**at != '\\') {
            *to++ = *(*at)++;
            continue;
        }
        char escaped = (*at)[1];
        const char *letter = escaped != '\0' ? strchr(letters, escaped) : NULL;
        if (letter == NULL && escaped != 'u') return NULL;
        *at += 2;
        if (letter != NULL)
            *to++ = meanings[letter - letters];
        else if ((to = unicode(at, to)) == NULL)
            return NULL;
    }
    *length = (size_t)(to - begin);
    ++*at;
    *to = '\0';
    return begin;
}

/* After the list or object that begins at `at`; NULL where it does not end. */
static char *skip_list(char *at)
{
    int depth = 0, quoted = 0;
    for (; *at != '\0'; at++) {
        if (quoted) {
            if (*at == '\\' && at[1] != '\0')
                at++;
            else if (*at == '"')
                quoted = 0;
        } else if (*at == '"') {
            quoted = 1;
        } else if (*at == '[' || *at == '{') {
            depth++;
        } else if ((*at == ']' || *at == '}') && --depth == 0) {
            return at + 1;
        }
    }
    return NULL;
}

static char *value(char *at, lloyd_json_field *field)
{
    char *end;
    field->value = at;
    if (*at == '"') {
        field->kind = LLOYD_JSON_TEXT;
        field->value = text(&at, &field->length);
        return field->value != NULL ? at : NULL;
    }
    if (*at == '[' || *at == '{') {
        field->kind = LLOYD_JSON_LIST;
        end = skip_list(at);
    } else if (*at >= 'a' && *at <= 'z') {
        field->kind = LLOYD_JSON_WORD;
        end = at + strspn(at, "abcdefghijklmnopqrstuvwxyz");
    } else {
        field->kind = LLOYD_JSON_NUMBER;
        end = at + strspn(at, "+-.0123456789eE");
        char *parsed;
        field->number = strtod(at, &parsed);
        if (end == at || parsed != end) return NULL;
    }
    if (end != NULL) field->length = (size_t)(end - at);
    return end;
}

int lloyd_json_open(char **at)
{
    *at = skip_blanks(*at);
    if (**at != '{') return 0;
    ++*at;
    return 1;
}

int lloyd_json_next(char **at, lloyd_json_field *field)
{
    size_t length;
    *field = (lloyd_json_field){.kind = LLOYD_JSON_WORD};
    *at = skip_blanks(*at);
    if (**at == '}') {
        ++*at;
        return 0;
    }
    field->name = text(at, &length);
    if (field->name == NULL) return -1;
    *at = skip_blanks(*at);
    if (**at != ':') return -1;
    char *end = value(skip_blanks(*at + 1), field);
    if (end == NULL) return -1;
    *at = skip_blanks(end);
    if (**at == '}') return 1; /* the next call finds the end */
    if (**at != ',') return -1;
    ++*at;
    return 1;
}

void lloyd_json_text(FILE *out, const char *text)
{
    if (text == NULL) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0';) {
        int length = lloyd_text_utf8((const char *)at);
        if (length == 0)
            fputs("\\ufffd", out);
        else if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < 0x20)
            fprintf(out, "\\u%04x", *at);
        else
            fwrite(at, 1, (size_t)length, out);
        at += length == 0 ? 1 : length;
    }
    fputc('"', out);
}

void lloyd_json_number(FILE *out, double value)
{
    char text[40];
    if (!isfinite(value)) {
        fputs("null", out);
        return;
    }
    snprintf(text, sizeof text, "%.17g", value);
    char *comma = strchr(text, ','); /* the caller's locale may have one */
    if (comma != NULL) *comma = '.';
    fputs(text, out);
}
