/* Command lines: the input is the arguments, each ended by a newline or zero. What is accepted must
 * have its values in their limits, and its quoted form must be as long as a shell needs it. */
#include "program/cli.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ARGUMENTS = 64 };

static void check(const lloyd_cli *cli, int argc)
{
    if (!cli->line || cli->input_count < 0 || cli->input_count >= argc) abort();
    for (int i = 0; i < cli->input_count; i++)
        if (!cli->inputs[i] || !*cli->inputs[i]) abort();
    if (cli->command != LLOYD_COMMAND_FIT) return;
    const lloyd_fit_options *fit = &cli->fit;
    if (fit->k < 1 || fit->n_init < 1 || fit->max_iters < 0 || fit->chunk_rows < 0 ||
        !(fit->tol >= 0) || isinf(fit->tol) || !fit->output || !fit->init || !fit->metric ||
        fit->input_count < 1)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1), *argv[ARGUMENTS + 1], *at = text;
    int argc = 0;
    if (!text) return 0;
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    argv[argc++] = (char[]){"lloyd"};
    while (at < text + bytes && argc < ARGUMENTS) {
        argv[argc++] = at;
        at += strcspn(at, "\n");
        *at++ = '\0';
    }
    argv[argc] = NULL;
    lloyd_cli cli;
    lloyd_status status = lloyd_cli_parse(argc, argv, &cli);
    if (status == LLOYD_OK) {
        check(&cli, argc);
        lloyd_cli_free(&cli);
    } else if (status != LLOYD_USAGE || lloyd_message()[0] == '\0') {
        abort();
    }
    free(text);
    return 0;
}
