/* Numbers as a person reads them, and the characters of a text. */
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int lloyd_text_utf8(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    unsigned char first = at[0];
    int length = first < 0x80   ? 1
                 : first < 0xc2 ? 0
                 : first < 0xe0 ? 2
                 : first < 0xf0 ? 3
                 : first < 0xf5 ? 4
                                : 0;
    for (int i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    if ((first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] > 0x9f) ||
        (first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] > 0x8f))
        return 0;
    return length;
}

const char *lloyd_text_count(int64_t value, char *text, size_t bytes)
{
    char plain[24];
    int digits = snprintf(plain, sizeof plain, "%lld", (long long)value);
    size_t used = 0;
    for (int i = 0; i < digits && used + 2 < bytes; i++) {
        if (i > 0 && (digits - i) % 3 == 0 && plain[i - 1] != '-') text[used++] = ',';
        text[used++] = plain[i];
    }
    text[used] = '\0';
    return text;
}

const char *lloyd_text_bytes(int64_t value, char *text, size_t bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
    double number = (double)value;
    int unit = 0;
    while (number >= 999.5 && unit < 6) {
        number /= 1000;
        unit++;
    }
    snprintf(text, bytes, unit && number < 99.95 ? "%.1f %s" : "%.0f %s", number, units[unit]);
    return text;
}

/* Three digits, and never an exponent. */
const char *lloyd_text_seconds(double value, char *text, size_t bytes)
{
    if (value >= 999.5 && value < 9e18)
        lloyd_text_count(llround(value), text, bytes);
    else if (value > 0 && value < 1e-4)
        snprintf(text, bytes, "%.*f", 2 - (int)floor(log10(fmax(value, 1e-12))), value);
    else
        snprintf(text, bytes, "%.3g", value);
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, " s");
    return text;
}

const char *lloyd_text_scaled(double value, const char *unit, char *text, size_t bytes)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T", "P", "E"};
    int i = 0;
    while (value >= 999.5 && i < 6) {
        value /= 1000;
        i++;
    }
    snprintf(text, bytes, i > 0 && value < 99.95 ? "%.1f %s%s" : "%.0f %s%s", value, prefix[i],
             unit);
    return text;
}

double lloyd_text_change(double before, double now)
{
    double percent = 100 * (now - before) / before;
    return before > 0 && isfinite(percent) && percent < 0.1 ? percent : NAN;
}

const char *lloyd_text_power(int exponent, char *text, size_t bytes)
{
    static const char *const raised[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    char plain[16];
    snprintf(plain, sizeof plain, "%d", abs(exponent));
    size_t used = (size_t)snprintf(text, bytes, "10%s", exponent < 0 ? "⁻" : "");
    for (const char *digit = plain; *digit != '\0' && used < bytes; digit++)
        used += (size_t)snprintf(text + used, bytes - used, "%s", raised[*digit - '0']);
    return text;
}

const char *lloyd_text_real(double value, int digits, char *text, size_t bytes)
{
    char plain[64], power[32];
    snprintf(plain, sizeof plain, "%.*g", digits, value);
    char *exponent = strchr(plain, 'e');
    if (exponent == NULL || !isfinite(value)) {
        snprintf(text, bytes, "%s", plain);
        return text;
    }
    *exponent = '\0';
    lloyd_text_power((int)strtol(exponent + 1, NULL, 10), power, sizeof power);
    snprintf(text, bytes, "%s\u00a0×\u00a0%s", plain, power);
    return text;
}

int lloyd_text_ranks(int size, int (*listed)(const void *context, int rank), const void *context,
                     char *text, size_t bytes)
{
    enum { NAMED = 8 };
    char names[128] = "";
    int count = 0;
    size_t at = 0;
    for (int r = 0; r < size; r++) {
        if (!listed(context, r) || count++ >= NAMED) continue;
        int written = snprintf(names + at, sizeof names - at, "%s%d", count > 1 ? ", " : "", r);
        if (written > 0 && (size_t)written < sizeof names - at) at += (size_t)written;
    }
    if (count > NAMED) snprintf(names + at, sizeof names - at, " and %d more", count - NAMED);
    snprintf(text, bytes, "rank%s %s", count == 1 ? "" : "s", names);
    return count;
}
