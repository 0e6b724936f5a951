/* What the checkpoints of fits and of splits have in common: opening the file, and comparing what it was
 * written with. */
#ifndef LLOYD_CHECKPOINT_COMMON_H
#define LLOYD_CHECKPOINT_COMMON_H

#include "comm/comm.h"
#include "io/rows.h"

#include <stdint.h>

/* Checks that a file can be written there; *reads: whether the one that is there is to be read. Says what
 * becomes of one that is there and not resumed, and that the job (1: a split, 0: a fit) starts anew where there is none.
 * LLOYD_USAGE where another file than a checkpoint would be replaced. */
lloyd_status lloyd_checkpoint_look(const char *file, int resume, int split, int *reads);

/* LLOYD_USAGE where two lists of options, one per line, differ: the message has the first line that does. */
lloyd_status lloyd_checkpoint_compare(const char *file, const char *was, const char *is);

/* LLOYD_USAGE: the file was written with the option `was`, but this command has `is`. */
lloyd_status lloyd_checkpoint_refuse(const char *file, const char *was, const char *is);

/* LLOYD_BAD_INPUT unless the rows have this shape and type. */
lloyd_status lloyd_checkpoint_compare_shape(const char *file, int64_t n, int64_t d,
                                            const char *type, const lloyd_rows *rows);

/* LLOYD_BAD_INPUT with the sentence for other values of the same shape. */
lloyd_status lloyd_checkpoint_other_data(const char *file);

/* *signal = the one that a rank was sent, on all ranks. Collective. */
lloyd_status lloyd_checkpoint_signal(lloyd_comm *comm, int *signal);

/* *inputs = the input files, one per line; free() it. */
lloyd_status lloyd_checkpoint_inputs(const lloyd_rows *rows, char **inputs);

#endif
