/* See state.h. */
#include "job/checkpoint/state.h"

#include "algorithm/seed_parallel.h"

#include <stdio.h>
#include <string.h>

const char *lloyd_checkpoint_file(const lloyd_checkpoint *c)
{
    return c->options->checkpoint;
}

/* Finished iterations of the start that is kept. */
static int64_t lloyd_checkpoint_done(const lloyd_checkpoint *c)
{
    return c->last.iteration > 0 ? c->last.iteration : c->history.iterations;
}

int lloyd_checkpoint_in_rounds(const lloyd_checkpoint *c)
{
    return strcmp(c->options->init, "kmeans-parallel") == 0;
}

int64_t lloyd_checkpoint_most_seeds(const lloyd_fit_options *o)
{
    if (!lloyd_options_tries(o)) return 0;
    return strcmp(o->init, "kmeans-parallel") == 0 ? lloyd_seed_candidates(o->k) : o->k;
}

const char *lloyd_checkpoint_place(const lloyd_checkpoint *c, char *text, size_t bytes)
{
    char run[32] = "";
    if (c->options->n_init > 1)
        snprintf(run, sizeof run, " of run %lld", (long long)c->restart + 1);
    if (c->drawn > 0)
        snprintf(text, bytes, "%lld %s%s of the seeding%s", (long long)c->steps,
                 lloyd_checkpoint_in_rounds(c) ? "round" : "centroid", c->steps == 1 ? "" : "s",
                 run);
    else if (lloyd_checkpoint_done(c) > 0)
        snprintf(text, bytes, "iteration %lld%s", (long long)lloyd_checkpoint_done(c), run);
    else
        snprintf(text, bytes, "the seeding%s", run);
    return text;
}
