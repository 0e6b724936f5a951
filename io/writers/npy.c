/* See npy.h. */
#include "io/writers/npy.h"

#include <string.h>

enum { PREFIX = 10 }; /* before the dictionary: the format, and how long it is */

static const char format[] = "\x93NUMPY\1";

/* A multiple of 64 bytes, as NumPy writes it, which is enough for any shape. */
void lloyd_npy_header_write(FILE *file, const char *descr, int64_t rows, int64_t columns, int bytes)
{
    const int length = bytes - PREFIX;
    char shape[64], text[LLOYD_NPY_HEADER];
    if (columns > 0)
        snprintf(shape, sizeof shape, "%lld, %lld", (long long)rows, (long long)columns);
    else
        snprintf(shape, sizeof shape, "%lld,", (long long)rows);
    int used = snprintf(text, sizeof text,
                        "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape);
    fwrite(format, 1, sizeof format, file); /* with its end, the second number of the format */
    fputc(length & 0xff, file);
    fputc(length >> 8, file);
    fprintf(file, "%s%*s\n", text, length - used - 1, "");
}

int lloyd_npy_is_list(const char *text, size_t count)
{
    static const char list[] = "{'descr': '<i8'";
    const int length = LLOYD_NPY_LIST_HEADER - PREFIX;
    return count >= LLOYD_NPY_LIST_HEADER && memcmp(text, format, sizeof format) == 0 &&
           (unsigned char)text[8] == (length & 0xff) && text[9] == length >> 8 &&
           memcmp(text + PREFIX, list, sizeof list - 1) == 0;
}
