/* See quote.h. */
#include "program/quote.h"

#include <stdlib.h>
#include <string.h>

/* Appends the argument to `to`, which has room: 4 bytes for each of its bytes, and 3. Returns
 * where it ends. */
static char *quote(char *to, const char *arg)
{
    static const char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (*arg != '\0' && arg[strspn(arg, safe)] == '\0') return stpcpy(to, arg);
    *to++ = '\'';
    for (; *arg != '\0'; arg++) {
        if (*arg == '\'')
            to = stpcpy(to, "'\\''"); /* end the quotes, a quoted quote, begin again */
        else
            *to++ = *arg;
    }
    *to++ = '\'';
    *to = '\0';
    return to;
}

lloyd_status lloyd_quote(const char *arg, char **quoted)
{
    *quoted = malloc(4 * strlen(arg) + 3);
    if (*quoted == NULL) return lloyd_fail(LLOYD_FAILED, "no memory to quote an argument");
    quote(*quoted, arg);
    return LLOYD_OK;
}

lloyd_status lloyd_quote_line(int argc, char *const argv[], char **line)
{
    size_t bytes = 1;
    for (int i = 0; i < argc; i++) bytes += 4 * strlen(argv[i]) + 3;
    *line = malloc(bytes);
    if (*line == NULL) return lloyd_fail(LLOYD_FAILED, "no memory for the command line");
    char *to = *line;
    *to = '\0';
    for (int i = 0; i < argc; i++) {
        if (i > 0) *to++ = ' ';
        to = quote(to, argv[i]);
    }
    return LLOYD_OK;
}
