/* See html.h. */
#include "report/html.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

/* Whether XML 1.0 has the character: no control characters but three, and not U+FFFE and U+FFFF. */
static int is_allowed(const char *at, int length)
{
    unsigned char first = (unsigned char)*at;
    if (length == 1) return first >= 0x20 || first == '\t' || first == '\n' || first == '\r';
    return length != 3 ||
           (memcmp(at, "\xef\xbf\xbe", 3) != 0 && memcmp(at, "\xef\xbf\xbf", 3) != 0);
}

static void put_character(FILE *out, const char *at, int length)
{
    switch (*at) {
    case '&': fputs("&amp;", out); break;
    case '<': fputs("&lt;", out); break;
    case '>': fputs("&gt;", out); break;
    case '"': fputs("&quot;", out); break;
    case '\'': fputs("&#39;", out); break;
    default: fwrite(at, 1, (size_t)length, out);
    }
}

void lloyd_html_part(FILE *out, const char *text, size_t length)
{
    for (const char *at = text, *end = text + length; at < end && *at != '\0';) {
        int bytes = lloyd_text_utf8(at);
        if (bytes == 0 || bytes > end - at || !is_allowed(at, bytes))
            fputs("\xef\xbf\xbd", out);
        else
            put_character(out, at, bytes);
        at += bytes > 0 ? bytes : 1;
    }
}

void lloyd_html_text(FILE *out, const char *text)
{
    if (text != NULL) lloyd_html_part(out, text, strlen(text));
}

void lloyd_html_whole(FILE *out, int64_t value)
{
    char text[40];
    fprintf(out, "<data value=\"%lld\">%s</data>", (long long)value,
            lloyd_text_count(value, text, sizeof text));
}

const char *lloyd_html_time(double seconds, char *text, size_t bytes)
{
    char plain[40];
    lloyd_text_seconds(seconds, plain, sizeof plain);
    snprintf(text, bytes, "%.*s\u00a0s", (int)strcspn(plain, " "), plain);
    return text;
}

void lloyd_html_seconds(FILE *out, double value)
{
    char text[48];
    fprintf(out, "<data value=\"%.17g\">%s</data>", value,
            lloyd_html_time(value, text, sizeof text));
}

void lloyd_html_real(FILE *out, double value, int digits)
{
    char text[64];
    if (isfinite(value))
        fprintf(out, "<data value=\"%.17g\">%s</data>", value,
                lloyd_text_real(value, digits, text, sizeof text));
    else
        fputs("–", out);
}
