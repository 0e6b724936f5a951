/* Reading the JSON that lloyd writes itself: one object, whose values are texts, numbers, words or
 * lists. A list, or an object inside, is not looked into. */
#ifndef LLOYD_JSON_H
#define LLOYD_JSON_H

#include <stddef.h>

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

#endif
