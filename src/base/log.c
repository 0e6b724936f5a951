/* Lines for a person, on stderr. A line is put together first and written with one call, so that
 * lines of several processes on one terminal do not mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static int quiet;
static atomic_int open_line;

void lloyd_log_quiet(int on)
{
    quiet = on;
}

int lloyd_log_open(int open)
{
    return atomic_exchange(&open_line, open);
}

/* What comes before a line. */
static const char *line_end(void)
{
    return lloyd_log_open(0) ? "\n" : "";
}

void lloyd_note(const char *format, ...)
{
    if (quiet) return;
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "%slloyd: %s\n", line_end(), text);
}

void lloyd_complain(void)
{
    if (*lloyd_message() == '\0') return;
    fprintf(stderr, "%slloyd: %s\n", line_end(), lloyd_message());
    (void)lloyd_fail(LLOYD_FAILED, "%s", ""); /* once is enough */
}
