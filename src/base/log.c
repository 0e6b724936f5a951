/* Lines for a person, on stderr. A line is put together first and written with one call, so that
 * lines of several processes on one terminal do not mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static int quiet;

void lloyd_log_quiet(int on)
{
    quiet = on;
}

void lloyd_note(const char *format, ...)
{
    if (quiet) return;
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "lloyd: %s\n", text);
}

void lloyd_complain(void)
{
    if (*lloyd_message() == '\0') return;
    fprintf(stderr, "lloyd: %s\n", lloyd_message());
    (void)lloyd_fail(LLOYD_FAILED, "%s", ""); /* once is enough */
}
