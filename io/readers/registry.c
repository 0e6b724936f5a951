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

static const lloyd_row_reader *recognise(const lloyd_raw_head *head)
{
    for (int i = 0; readers[i]; i++) {
        if (readers[i]->recognises && readers[i]->recognises(head)) return readers[i];
    }
    for (int i = 0; readers[i]; i++) {
        if (has_ending(head->path, readers[i]->endings)) return readers[i];
    }
    return NULL;
}

lloyd_status lloyd_reader_find(const char *path, const lloyd_row_reader **reader)
{
    unsigned char first[LLOYD_RAW_FIRST];
    lloyd_raw_head head;
    char text[256];
    *reader = &lloyd_reader_hdf5;
    if (lloyd_raw_open_head(path, first, sizeof first, &head) != LLOYD_OK) return LLOYD_OK;
    *reader = recognise(&head);
    close(head.descriptor);
    if (*reader) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot open %s: it is not an HDF5 file, and other formats are known by the ending of "
        "the name: %s",
        path, all_endings(text, sizeof text));
}
