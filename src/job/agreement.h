/* What all ranks must have alike: options, files, a model. All ranks compare theirs before
 * the first collective call whose shape depends on it, so that ranks that were started differently
 * end with a sentence and not in a wrong model or in a call that never returns.
 */
#ifndef LLOYD_AGREEMENT_H
#define LLOYD_AGREEMENT_H

#include "comm/comm.h"

#include <stdio.h>

/* One item per line, "--seed 7". Begins as zeros. */
typedef struct lloyd_agreement {
    FILE *out;
    char *text;
    size_t bytes;
    int failed; /* 1: there was no memory for one */
} lloyd_agreement;

/* The first items of every command: which program this is, and which command. */
void lloyd_agreement_begin(lloyd_agreement *agreement, const char *command);

/* One more. A line break in it becomes a blank. */
void lloyd_agreement_add(lloyd_agreement *agreement, const char *format, ...) LLOYD_PRINTF(2, 3);

/* "--output a.h5", or "no --output" for NULL. */
void lloyd_agreement_option(lloyd_agreement *agreement, const char *option, const char *value);

/* What to say of a difference. */
typedef struct lloyd_difference {
    lloyd_status status;
    const char *advice; /* "give all ranks the same options" */
} lloyd_difference;

extern const lloyd_difference lloyd_differing_options, lloyd_differing_inputs;

/* `status`: that of collecting the items. If it is LLOYD_OK on all ranks and all have the same items, so is
 * the result. Otherwise all ranks get the status of the lowest rank that failed, or of the
 * difference, and one of them a message that names the ranks. Frees the agreement. Collective, and the
 * first collective call of every command: a rank whose command line is wrong makes it too. */
lloyd_status lloyd_agreement_compare(lloyd_comm *comm, lloyd_status status,
                                     lloyd_agreement *agreement,
                                     const lloyd_difference *difference);

#endif
