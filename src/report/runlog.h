/* The log of a fit (docs/log.md), read back for a report. */
#ifndef LLOYD_RUNLOG_H
#define LLOYD_RUNLOG_H

#include "algorithm/observer.h"
#include "base/status.h"
#include "io/writers/model.h"

#include <stdint.h>

/* The phases of a fit, in the order in which they are done. */
typedef enum lloyd_phase {
    LLOYD_PHASE_READ,
    LLOYD_PHASE_SEED,
    LLOYD_PHASE_ITERATIONS,
    LLOYD_PHASE_FINAL,
    LLOYD_PHASE_CHECKPOINT,
    LLOYD_PHASE_DISTANCES,
    LLOYD_PHASE_MEMBERS,
    LLOYD_PHASE_WRITE,
    LLOYD_PHASES
} lloyd_phase;

extern const char *const lloyd_phase_names[LLOYD_PHASES];

/* What the log says of an iteration, as in lloyd_iteration; NAN: nothing. */
typedef struct lloyd_runlog_iteration {
    double fallback_rows, int8_rows, int8_fallback_rows, int8_candidates, pruned_rows, compared;
} lloyd_runlog_iteration;

typedef struct lloyd_runlog {
    int64_t begins;               /* 1, and one for every time the fit was resumed */
    int64_t iterations;           /* all of them: of other starts, and repeated ones too */
    double seconds[LLOYD_PHASES]; /* of all begins together */
    double total;
    lloyd_runlog_iteration *found; /* [T] for the iterations of the model */
    int64_t threads;               /* of each rank; 0: not in the log */
    double candidates;             /* of seeding by kmeans-parallel; 0: not in the log */
    double peak;                   /* bytes of the rank that used most; 0: not in the log */
    /* Where the seconds of the iterations since the last begin went: the mean over the ranks, and
     * the rank where it was most. */
    int has_time_shares;
    double part_mean[LLOYD_TIME_SHARES], part_most[LLOYD_TIME_SHARES];
    char time[32], type[16], gpu[96], comm[16]; /* "": not in the log */
} lloyd_runlog;

/* Reads a log. LLOYD_BAD_INPUT where it cannot be read, is no log, or that of another fit than the
 * model's: they must agree in shape, iterations and final inertia. Free with
 * lloyd_runlog_free(), after a failure too. */
lloyd_status lloyd_runlog_read(const char *path, const lloyd_model *model, lloyd_runlog *log);
void lloyd_runlog_free(lloyd_runlog *log);

#endif
