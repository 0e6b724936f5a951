#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char message[LLOYD_MESSAGE_BYTES];

lloyd_status lloyd_fail(lloyd_status status, const char *format, ...)
{
    /* A message may quote the previous one ("...: %s", lloyd_message()), so it is put together
     * aside. */
    char text[sizeof message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(message, sizeof message, "%s", text);
    return status;
}

const char *lloyd_message(void)
{
    return message;
}
