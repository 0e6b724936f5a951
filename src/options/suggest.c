/* See suggest.h. */
#include "options/suggest.h"

#include <ctype.h>
#include <string.h>

enum { WORD_MAX = 48 }; /* longer words are nobody's typing error of ours */

static int least_of(int a, int b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, changes and swaps of neighbours that lead from a to b, no letter
 * touched twice (Damerau 1964; the "optimal string alignment" form). */
static int distance(const char *a, const char *b)
{
    size_t rows = strlen(a), columns = strlen(b);
    if (rows > WORD_MAX || columns > WORD_MAX) return WORD_MAX;
    int d[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= rows; i++) d[i][0] = (int)i;
    for (size_t j = 0; j <= columns; j++) d[0][j] = (int)j;
    for (size_t i = 1; i <= rows; i++) {
        for (size_t j = 1; j <= columns; j++) {
            int here = tolower((unsigned char)a[i - 1]), there = tolower((unsigned char)b[j - 1]);
            int best = least_of(d[i - 1][j], d[i][j - 1]) + 1;
            best = least_of(best, d[i - 1][j - 1] + (here != there));
            if (i > 1 && j > 1 && here == tolower((unsigned char)b[j - 2]) &&
                there == tolower((unsigned char)a[i - 2]))
                best = least_of(best, d[i - 2][j - 2] + 1);
            d[i][j] = best;
        }
    }
    return d[rows][columns];
}

/* Whether `word` is the beginning of `whole`, with at least two letters after any dashes. */
static int begins(const char *word, const char *whole)
{
    size_t length = strlen(word);
    return length >= strspn(word, "-") + 2 && strncmp(word, whole, length) == 0;
}

const char *lloyd_suggest(const char *word, const char *const *candidates, int count)
{
    const char *nearest = NULL;
    int least = WORD_MAX;
    for (int i = 0; i < count; i++) {
        size_t longer = strlen(word) > strlen(candidates[i]) ? strlen(word) : strlen(candidates[i]);
        int steps = distance(word, candidates[i]);
        if (steps > (int)(longer / 3) && !begins(word, candidates[i])) continue;
        if (steps < least) {
            least = steps;
            nearest = candidates[i];
        }
    }
    return nearest;
}

enum { CHOICES_MAX = 64 };

const char *lloyd_suggest_choice(const char *word, const lloyd_option_choice *choices)
{
    const char *words[CHOICES_MAX];
    int count = 0;
    for (const lloyd_option_choice *c = choices; c->name != NULL && count < CHOICES_MAX; c++) {
        if (c->alias != NULL && distance(word, c->alias) == 0) return c->name;
        words[count++] = c->name;
    }
    return lloyd_suggest(word, words, count);
}
