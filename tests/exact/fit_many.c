/* Many small fits in one process, or in one job of several ranks: what test_exact.py would else start the program for, a
 * thousand times.
 *
 *     lloyd_fit_many LIST FOLDER CHUNK_ROWS BACKEND
 *
 * Each line of LIST is one fit: NAME INPUT K INIT WEIGHTS METRIC EMPTY ITERS TOL, separated by blanks, WEIGHTS a dataset or
 * "-". Its model becomes FOLDER/NAME.h5. A fit that fails prints its message, and the next one is made all the same.
 * Exit status: 0 all are made, 1 some failed, 2 wrong usage.
 */
#include "lloyd/lloyd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What `--input a --init b ...` would be; `text` is cut into words, which the options borrow. */
static int parse(char *text, lloyd_fit_options *options, const char **name, const char **input)
{
    char *word[9], *at = NULL;
    int count = 0;
    for (char *w = strtok_r(text, " \n", &at); w != NULL; w = strtok_r(NULL, " \n", &at)) {
        if (count == 9) return 0;
        word[count++] = w;
    }
    if (count != 9) return 0;
    *name = word[0];
    *input = word[1];
    options->inputs = input;
    options->input_count = 1;
    options->k = strtoll(word[2], NULL, 10);
    options->init = word[3];
    options->weights = strcmp(word[4], "-") == 0 ? NULL : word[4];
    options->metric = word[5];
    options->empty = word[6];
    options->max_iters = strtoll(word[7], NULL, 10);
    options->tol = strtod(word[8], NULL);
    options->progress = "none";
    return 1;
}

/* One fit; returns 1 if it was made. */
static int fit(lloyd_comm *comm, char *line, char **argv)
{
    char output[8192];
    const char *name = NULL, *input = NULL;
    lloyd_fit_options options;
    lloyd_fit_defaults(&options);
    if (!parse(line, &options, &name, &input)) {
        fprintf(stderr, "lloyd_fit_many: a line does not have nine words\n");
        return 0;
    }
    snprintf(output, sizeof output, "%s/%s.h5", argv[2], name);
    options.output = output;
    options.chunk_rows = strtoll(argv[3], NULL, 10);
    options.backend = argv[4];
    if (lloyd_fit(comm, &options, NULL) == LLOYD_OK) return 1;
    if (*lloyd_message() != '\0') fprintf(stderr, "lloyd: %s: %s\n", name, lloyd_message());
    return 0;
}

int main(int argc, char **argv)
{
    char line[16384];
    lloyd_comm *comm;
    int failed = 0;
    FILE *list = argc == 5 ? fopen(argv[1], "r") : NULL;
    if (list == NULL) {
        fprintf(stderr, "usage: lloyd_fit_many LIST FOLDER CHUNK_ROWS BACKEND\n");
        return 2;
    }
    if (lloyd_comm_open_world(&comm) != LLOYD_OK) {
        fprintf(stderr, "lloyd: %s\n", lloyd_message());
        fclose(list);
        return 1;
    }
    while (fgets(line, sizeof line, list) != NULL) failed += !fit(comm, line, argv);
    lloyd_comm_close(comm);
    fclose(list);
    return failed > 0;
}
