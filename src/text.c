/* Numbers as a person reads them. */
#include "text.h"

#include <stdio.h>

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
