/* See row_numbers.h. */
#include "program/row_numbers.h"

#include "base/memory.h"
#include "base/text.h"
#include "io/inspect.h"
#include "io/numbers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS_SHOWN = 20 };
static const int64_t BLOCK = (int64_t)1 << 20; /* numbers that are read at once */

/* What a list is like, as far as one pass tells. */
typedef struct survey {
    int64_t count, least, most, last;
    int64_t
        lower; /* the place of the first number that is lower than the one before it; -1: none */
    int64_t repeated; /* numbers that are the one before them */
} survey;

static void add(survey *s, int64_t number)
{
    if (s->count == 0 || number < s->least) s->least = number;
    if (s->count == 0 || number > s->most) s->most = number;
    if (s->count > 0 && number < s->last && s->lower < 0) s->lower = s->count;
    s->repeated += s->count > 0 && number == s->last;
    s->last = number;
    s->count++;
}

static lloyd_status add_all(const lloyd_numbers *numbers, survey *s)
{
    const int64_t total = lloyd_numbers_count(numbers);
    int64_t *block;
    lloyd_status status = LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&block, BLOCK < total ? BLOCK : total, sizeof *block, "row numbers"));
    while (s->count < total && status == LLOYD_OK) {
        const int64_t some = total - s->count < BLOCK ? total - s->count : BLOCK;
        status = lloyd_numbers_read(numbers, s->count, some, block);
        for (int64_t i = 0; i < some && status == LLOYD_OK; i++) add(s, block[i]);
    }
    lloyd_free(block);
    return status;
}

static void print_order(const survey *s)
{
    char a[32];
    printf("  %-12s ", "order");
    if (s->lower >= 0)
        printf("not sorted: the number at place %s (from 0) is lower than the one before\n",
               lloyd_text_count(s->lower, a, sizeof a));
    else
        printf("increasing%s\n", s->repeated == 0 ? ", each once" : "");
    if (s->repeated > 0)
        printf("  %-12s %s number%s the same as the one before; --rows takes each row once\n", "",
               lloyd_text_count(s->repeated, a, sizeof a), s->repeated == 1 ? " is" : "s are");
}

static void print_use(const char *input, const survey *s)
{
    char a[32];
    if (s->count == 0) {
        printf("  %-12s none: there is no row to fit\n", "use");
    } else if (s->least < 0) {
        printf("  %-12s none as rows: these are numbered from 0\n", "use");
    } else {
        printf("  %-12s lloyd fit --rows %s, with inputs of %s rows or more\n", "use", input,
               lloyd_text_count(s->most < INT64_MAX ? s->most + 1 : s->most, a, sizeof a));
    }
}

static void print_selection(const char *method, const char *version, char *inputs)
{
    char *rest = NULL;
    int shown = 0;
    if (*method) printf("  %-12s lloyd select %s\n", "selected by", method);
    for (char *line = strtok_r(inputs, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (shown++ < INPUTS_SHOWN) printf("  %-12s %s\n", shown == 1 ? "from" : "", line);
    if (shown > INPUTS_SHOWN) printf("  %-12s and %d more files\n", "", shown - INPUTS_SHOWN);
    if (*version) printf("  %-12s lloyd %s\n", "made by", version);
}

static lloyd_status print_origin(const char *path)
{
    char *method, *version, *inputs;
    lloyd_status status = lloyd_inspect_selection(path, &method, &version, &inputs);
    if (status == LLOYD_OK && method && version && inputs) print_selection(method, version, inputs);
    free(method);
    free(version);
    free(inputs);
    return status;
}

static lloyd_status print_numbers(const char *input, const lloyd_numbers *numbers)
{
    survey s = {.lower = -1};
    char a[32], b[32];
    LLOYD_TRY(add_all(numbers, &s));
    printf("Row numbers: %s\n  %-12s %s\n", lloyd_text_count(s.count, a, sizeof a), "file", input);
    LLOYD_TRY(print_origin(lloyd_numbers_path(numbers)));
    if (s.count > 0) {
        printf("  %-12s from %s to %s\n", "numbers", lloyd_text_count(s.least, a, sizeof a),
               lloyd_text_count(s.most, b, sizeof b));
        print_order(&s);
    }
    print_use(input, &s);
    return LLOYD_OK;
}

lloyd_status lloyd_row_numbers_info(const char *input)
{
    lloyd_numbers *numbers;
    LLOYD_TRY(lloyd_numbers_open(input, &numbers));
    lloyd_status status = print_numbers(input, numbers);
    lloyd_numbers_close(numbers);
    return status;
}
