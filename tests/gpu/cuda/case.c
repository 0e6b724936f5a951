#include "case.h"

#include "values.h"

test_options options = {.threads = 0, .only = -1, .random = 60, .seed = 1, .budget = 5e8};
progress_of_all *progress;

static const char *const kind_names[LOSSY + 1] =
    {"gauss",         "lattice", "duplicates", "sift",        "tiny",           "huge",
     "offset",        "outlier", "bisector",   "columns",     "subnormal",      "shared clusters",
     "far centroids", "spread",  "zeros",      "narrow cone", "aligned errors", "lossy sums"};

static const char *const weighting_names[WEIGHTINGS] = {"", ", weights", ", wide weights"};

static const char *const layout_names[LAYOUTS] = {"", ", resident chunks", ", streamed",
                                                  ", two slots", ", filled in pieces"};

double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int begin_case(const test_case *c, const char *what)
{
    int number = progress->next++;
    if (number < progress->from || (options.only >= 0 && number != options.only)) return 0;
    (void)snprintf(progress->name, sizeof progress->name,
                   "case %d%s: %s %s, n %lld d %lld k %lld%s%s%s", number, what,
                   kind_names[c->kind], lloyd_type_name(c->type), (long long)c->n, (long long)c->d,
                   (long long)c->k, c->cosine ? ", cosine" : "", weighting_names[c->weighting],
                   layout_names[c->layout]);
    progress->cases++;
    progress->began = time(NULL);
    seed_words(options.seed * 1000003 + (uint64_t)number);
    return 1;
}

void end_case(const problem *p, double start)
{
    double share = p->c.n > 0 ? 100 / (double)p->c.n : 0;
    progress->began = 0;
    if (p->differences > 0) progress->bad_cases++, progress->here++;
    if (options.verbose) {
        print_message("%s %s (%.2f s; fallback rows at last: cpu %.1f %%, cuda %.1f %%)\n",
                      p->differences ? "WRONG" : "ok   ", progress->name, seconds() - start,
                      (double)p->fallback_rows[CPU] * share,
                      (double)p->fallback_rows[CUDA] * share);
    }
}

void finish_list(void)
{
    int bad = progress->here;
    progress->here = 0;
    assert_int_equal(bad, 0);
}
