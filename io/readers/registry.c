/* See registry.h. */
#include "io/readers/registry.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LLOYD_READER_ROW(name) &lloyd_reader_##name,
static const lloyd_row_reader *const readers[] = {LLOYD_READERS(LLOYD_READER_ROW) NULL};
#undef LLOYD_READER_ROW

const lloyd_row_reader *lloyd_reader_at(int index)
{
    return readers[index];
}

/* The endings of all names, ", .npy, .fbin" without the first comma, into text, which is
 * returned. */
static const char *all_endings(char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; readers[i]; i++) {
        for (const char *c = readers[i]->endings; *c; c++) {
            const char *before = *c != '.' ? "" : used ? ", " : "";
            if (*c != ' ' && used + 4 < bytes)
                used += (size_t)snprintf(text + used, bytes - used, "%s%c", before, *c);
        }
    }
    return text;
}

/* Whether the name ends in one of the reader's endings. */
static int has_ending(const char *path, const char *endings)
{
    const char *dot = strrchr(path, '.');
    size_t length = dot ? strlen(dot) : 0;
    for (const char *at = dot ? strstr(endings, dot) : NULL; at; at = strstr(at + 1, dot))
        if (at[length] == '\0' || at[length] == ' ') return 1;
    return 0;
}

static const lloyd_row_reader *by_content(const lloyd_raw_head *head)
{
    for (int i = 0; readers[i]; i++)
        if (readers[i]->recognises && readers[i]->recognises(head)) return readers[i];
    return NULL;
}

static const lloyd_row_reader *by_ending(const char *path)
{
    for (int i = 0; readers[i]; i++)
        if (has_ending(path, readers[i]->endings)) return readers[i];
    return NULL;
}

/* A header that is read as elements would be rows that nobody wrote. */
static lloyd_status check_headerless(const char *path, const lloyd_row_reader *reader)
{
    if (reader && reader != &lloyd_reader_headerless) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot read %s as --raw: it is a file of format %s, which says itself what "
            "it holds; leave --raw and --dim out",
            path, reader->name);
    }
    const lloyd_row_reader *named = by_ending(path);
    if (!named) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read %s as --raw: files with this ending have the header of %s; leave "
        "--raw and --dim out, or give the file another name",
        path, named->name);
}

lloyd_status lloyd_reader_find(const char *path, const lloyd_headerless *headerless,
                               const lloyd_row_reader **reader)
{
    unsigned char first[LLOYD_RAW_FIRST];
    lloyd_raw_head head;
    char text[256];
    *reader = &lloyd_reader_hdf5;
    if (lloyd_raw_open_head(path, first, sizeof first, &head) != LLOYD_OK) return LLOYD_OK;
    head.headerless = headerless;
    *reader = by_content(&head);
    close(head.descriptor);
    if (headerless && headerless->columns > 0) return check_headerless(path, *reader);
    if (!*reader) *reader = by_ending(path);
    if (*reader) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot open %s: it is not an HDF5 file, and other formats are known by the ending of "
        "the name: %s; for an array without a header, give --raw TYPE --dim D",
        path, all_endings(text, sizeof text));
}
