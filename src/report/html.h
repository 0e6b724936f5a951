/* Text and numbers in a page, which is well-formed XML too. */
#ifndef LLOYD_HTML_H
#define LLOYD_HTML_H

#include <stdint.h>
#include <stdio.h>

/* A text from anywhere: what means something in HTML is escaped; bytes that are not UTF-8, and
 * characters that XML does not have, become U+FFFD. NULL is nothing. */
void lloyd_html_text(FILE *out, const char *text);
void lloyd_html_part(FILE *out, const char *text, size_t length); /* ends at a '\0' too */

/* A number for a person, in an element that has it with all its digits for a program. */
void lloyd_html_whole(FILE *out, int64_t value);
void lloyd_html_seconds(FILE *out, double value);          /* 0.0125 s */
void lloyd_html_real(FILE *out, double value, int digits); /* not finite: a dash */

/* lloyd_text_seconds() that no line ends in. */
const char *lloyd_html_time(double seconds, char *text, size_t bytes);

#endif
