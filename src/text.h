/* Numbers as a person reads them. */
#ifndef LLOYD_TEXT_H
#define LLOYD_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Each writes into `text`, at most `bytes`, and returns it. */
const char *lloyd_text_count(int64_t value, char *text, size_t bytes); /* 1,234,567 */
const char *lloyd_text_bytes(int64_t value, char *text,
                             size_t bytes); /* 25.6 MB, in powers of 1000 */

#endif
