/* JSON: values are written, and what lloyd itself has written is read back: one object, whose values
 * are texts, numbers, words or lists. A list, or an object inside, is not looked into. */
#ifndef LLOYD_JSON_H
#define LLOYD_JSON_H

#include <stddef.h>
#include <stdio.h>

typedef enum lloyd_json_kind {
    LLOYD_JSON_TEXT,
    LLOYD_JSON_NUMBER,
    LLOYD_JSON_WORD, /* true, false, null */
    LLOYD_JSON_LIST  /* also an object */
} lloyd_json_kind;

typedef struct lloyd_json_field {
    const char *name;
    lloyd_json_kind kind;
    const char *value; /* a text without its escapes, ended by '\0'; else as it is written */
    size_t length;     /* of value; what is no text has no '\0' there */
    double number;
} lloyd_json_field;

/* Begins the object at *at: 1, or 0 where there is none. */
int lloyd_json_open(char **at);

/* The next field: 1; 0 at the end of the object, with *at after it; -1 where the text is no JSON.
 * Texts are decoded in place. */
int lloyd_json_next(char **at, lloyd_json_field *field);

/* One JSON value to `out`. Text: quoted and escaped; bytes that are not UTF-8 become U+FFFD;
 * NULL is null. Number: 17 significant digits, null where it is not finite. */
void lloyd_json_text(FILE *out, const char *text);
void lloyd_json_number(FILE *out, double value);

#endif
