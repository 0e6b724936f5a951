/* Arguments as a POSIX shell needs them. */
#ifndef LLOYD_QUOTE_H
#define LLOYD_QUOTE_H

#include "base/status.h"

/* `arg` in *quoted; free() it. */
lloyd_status lloyd_quote(const char *arg, char **quoted);

/* The arguments joined by blanks, each quoted so, in *line; free() it. */
lloyd_status lloyd_quote_line(int argc, char *const argv[], char **line);

#endif
