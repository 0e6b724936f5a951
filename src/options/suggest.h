/* What somebody may have meant who has mistyped a word. */
#ifndef LLOYD_SUGGEST_H
#define LLOYD_SUGGEST_H

#include "options/option.h"

/* The candidate that `word` was probably meant to be: by Damerau-Levenshtein distance, at most a
 * third of the longer word, upper and lower case being one, or because `word` is its beginning.
 * NULL if none is that near. */
const char *lloyd_suggest(const char *word, const char *const *candidates, int count);

/* The same among the names of choices; an alias in full gives its name. */
const char *lloyd_suggest_choice(const char *word, const lloyd_option_choice *choices);

#endif
