/* The command line (src/program/cli.c), the log of JSON lines (src/job/progress.c) and the summary
 * (src/job/summary.c).
 *
 * Every wrong command line is one row: the arguments, and what its message must contain. The log is
 * read back by a JSON parser of its own, which accepts what RFC 8259 accepts and nothing else.
 */
#include "base/text.h"
#include "job/progress.h"
#include "job/summary.h"
#include "program/cli.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FIT "fit --input a.h5 -k 8 --output m.h5 "
#define SYNTH "synth --rows 10 --dim 2 --clusters 3 --output x.h5 "

/* The words of a command line, split at blanks; a "" among them is an empty argument. */
typedef struct words {
    char text[512];
    char *argv[64];
    int argc;
} words;

static void split(const char *line, words *w)
{
    static char program[] = "lloyd";
    snprintf(w->text, sizeof w->text, "%s", line);
    w->argc = 0;
    w->argv[w->argc++] = program;
    for (char *save = NULL, *word = strtok_r(w->text, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save)) {
        if (strcmp(word, "\"\"") == 0) word[0] = '\0';
        w->argv[w->argc++] = word;
    }
    w->argv[w->argc] = NULL;
}

static void parse(const char *line, words *w, lloyd_cli *cli)
{
    split(line, w);
    lloyd_status status = lloyd_cli_parse(w->argc, w->argv, cli);
    if (status != LLOYD_OK) fail_msg("'%s' is refused: %s", line, lloyd_message());
}

/* ---- Right command lines --------------------------------------------------------------- */

static void defaults_are_kept(void **state)
{
    (void)state;
    words w = {.argc = 0};
    lloyd_cli cli;
    lloyd_fit_options expected;
    lloyd_fit_defaults(&expected);
    parse("fit --input a.h5 -k 8 --output m.h5", &w, &cli);
    assert_int_equal(cli.command, LLOYD_CLI_FIT);
    assert_int_equal(cli.fit.input_count, 1);
    assert_string_equal(cli.fit.inputs[0], "a.h5");
    assert_int_equal(cli.fit.k, 8);
    assert_string_equal(cli.fit.output, "m.h5");
    assert_string_equal(cli.fit.init, expected.init);
    assert_true(cli.fit.seed == expected.seed);
    assert_int_equal(cli.fit.n_init, expected.n_init);
    assert_int_equal(cli.fit.max_iters, expected.max_iters);
    assert_true(cli.fit.tol == expected.tol);
    assert_string_equal(cli.fit.metric, expected.metric);
    assert_string_equal(cli.fit.empty, expected.empty);
    assert_string_equal(cli.fit.progress, expected.progress);
    assert_null(cli.fit.weights);
    assert_null(cli.fit.log);
    assert_int_equal(cli.fit.chunk_rows, 0);
    assert_int_equal(cli.fit.max_host_memory, 0);
    assert_int_equal(cli.fit.max_device_memory, 0);
    assert_string_equal(cli.fit.command, "lloyd fit --input a.h5 -k 8 --output m.h5");
    lloyd_cli_free(&cli);
}

static void every_fit_option_arrives(void **state)
{
    (void)state;
    words w = {.argc = 0};
    lloyd_cli cli;
    parse(
        "fit --input a.h5:/x --input=b*.h5 --dataset a:b -k1024 --output=m.h5 --init kmeans++ "
        "--seed=18446744073709551615 "
        "--n-init 3 --max-iters 0 --tol 1e-4 --metric cosine --weights /w --empty keep --backend "
        "cpu --comm mpi "
        "--chunk-rows 999 --max-host-memory 64G --max-device-memory 80GB --skip-bad-rows --no-labels --checkpoint c.ck --checkpoint-every 90s --resume --log l.jsonl --progress plain --dry-run",
        &w, &cli);
    const lloyd_fit_options *o = &cli.fit;
    assert_int_equal(o->input_count, 2);
    assert_string_equal(o->inputs[0], "a.h5:/x");
    assert_string_equal(o->inputs[1], "b*.h5");
    assert_string_equal(o->dataset, "a:b");
    assert_int_equal(o->skip_bad_rows, 1);
    assert_int_equal(o->k, 1024);
    assert_string_equal(o->init, "kmeans++");
    assert_true(o->seed == UINT64_MAX);
    assert_int_equal(o->n_init, 3);
    assert_int_equal(o->max_iters, 0);
    assert_true(o->tol == 1e-4);
    assert_string_equal(o->metric, "cosine");
    assert_string_equal(o->weights, "/w");
    assert_string_equal(o->empty, "keep");
    assert_string_equal(o->backend, "cpu");
    assert_string_equal(o->comm, "mpi");
    assert_int_equal(o->chunk_rows, 999);
    assert_int_equal(o->max_host_memory, (int64_t)64 << 30);
    assert_int_equal(o->max_device_memory, 80000000000);
    assert_int_equal(o->no_labels, 1);
    assert_string_equal(o->checkpoint, "c.ck");
    assert_string_equal(o->checkpoint_every, "90s");
    assert_int_equal(o->resume, 1);
    assert_string_equal(o->log, "l.jsonl");
    assert_string_equal(o->progress, "plain");
    assert_int_equal(o->dry_run, 1);
    lloyd_cli_free(&cli);
}

static void other_commands_arrive(void **state)
{
    (void)state;
    words w = {.argc = 0};
    lloyd_cli cli;
    parse("predict --model m.h5 --input a.h5 --input b.h5 --output l.h5 --distances", &w, &cli);
    assert_int_equal(cli.command, LLOYD_CLI_PREDICT);
    assert_string_equal(cli.predict.model, "m.h5");
    assert_int_equal(cli.predict.input_count, 2);
    assert_string_equal(cli.predict.inputs[1], "b.h5");
    assert_string_equal(cli.predict.output, "l.h5");
    assert_int_equal(cli.predict.distances, 1);
    lloyd_cli_free(&cli);

    parse("info m.h5", &w, &cli);
    assert_int_equal(cli.command, LLOYD_CLI_INFO);
    assert_string_equal(cli.file, "m.h5");
    lloyd_cli_free(&cli);
    parse("info -- --odd.h5", &w, &cli);
    assert_string_equal(cli.file, "--odd.h5");
    lloyd_cli_free(&cli);

    static const char *const names[] = {"-o p.html", "-op.html", "--output p.html",
                                        "--output=p.html"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char line[64];
        snprintf(line, sizeof line, "report m.h5 --log l.jsonl %s", names[i]);
        parse(line, &w, &cli);
        assert_int_equal(cli.command, LLOYD_CLI_REPORT);
        assert_string_equal(cli.report.model, "m.h5");
        assert_string_equal(cli.report.log, "l.jsonl");
        assert_string_equal(cli.report.output, "p.html");
        lloyd_cli_free(&cli);
    }

    parse("wrap --output x.h5 base.u8bin", &w, &cli);
    assert_int_equal(cli.command, LLOYD_CLI_WRAP);
    assert_string_equal(cli.file, "base.u8bin");
    assert_string_equal(cli.output, "x.h5");
    lloyd_cli_free(&cli);

    parse("synth --rows 5000000000 --dim 96 --clusters 100 --type bfloat16 --seed 7 --output x.h5",
          &w, &cli);
    assert_int_equal(cli.command, LLOYD_CLI_SYNTH);
    assert_true(cli.synth.rows == 5000000000);
    assert_int_equal(cli.synth.dim, 96);
    assert_int_equal(cli.synth.clusters, 100);
    assert_string_equal(cli.synth.type, "bfloat16");
    assert_true(cli.synth.seed == 7);
    assert_string_equal(cli.synth.output, "x.h5");
    lloyd_cli_free(&cli);
}

static void init_may_be_a_file(void **state)
{
    static const char *const files[] = {"m.h5", "dir/randm", "./random", "old-model", "randm.h5"};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char line[128];
        words w = {.argc = 0};
        lloyd_cli cli;
        snprintf(line, sizeof line, FIT "--init %s", files[i]);
        parse(line, &w, &cli);
        assert_string_equal(cli.fit.init, files[i]);
        lloyd_cli_free(&cli);
    }
}

static void help_and_version(void **state)
{
    static const struct {
        const char *line;
        lloyd_cli_command command, topic;
    } rows[] = {{"--help", LLOYD_CLI_HELP, LLOYD_CLI_HELP},
                {"-h", LLOYD_CLI_HELP, LLOYD_CLI_HELP},
                {"help", LLOYD_CLI_HELP, LLOYD_CLI_HELP},
                {"help --help", LLOYD_CLI_HELP, LLOYD_CLI_HELP},
                {"help fit", LLOYD_CLI_HELP, LLOYD_CLI_FIT},
                {"--help fit", LLOYD_CLI_HELP, LLOYD_CLI_FIT},
                {"-h predict", LLOYD_CLI_HELP, LLOYD_CLI_PREDICT},
                {"--help --help", LLOYD_CLI_HELP, LLOYD_CLI_HELP},
                {"fit --help", LLOYD_CLI_HELP, LLOYD_CLI_FIT},
                {"predict --nonsense -h", LLOYD_CLI_HELP, LLOYD_CLI_PREDICT},
                {"info --help", LLOYD_CLI_HELP, LLOYD_CLI_INFO},
                {"help wrap", LLOYD_CLI_HELP, LLOYD_CLI_WRAP},
                {"synth -h", LLOYD_CLI_HELP, LLOYD_CLI_SYNTH},
                {"--version", LLOYD_CLI_VERSION, LLOYD_CLI_HELP}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        words w = {.argc = 0};
        lloyd_cli cli;
        parse(rows[i].line, &w, &cli);
        assert_int_equal(cli.command, rows[i].command);
        assert_int_equal(cli.topic, rows[i].topic);
        lloyd_cli_free(&cli);
    }
}

/* ---- Wrong command lines --------------------------------------------------------------- */

static void errors_say_what_to_do(void **state)
{
    static const struct {
        const char *line, *first, *second; /* the message contains both */
    } rows[] = {
        {"", "no command", "lloyd --help"},
        {"ftt", "command ftt", "did you mean fit?"},
        {"predcit", "predcit", "did you mean predict?"},
        {"versoin", "versoin", "did you mean --version?"},
        {"xyzzy", "'xyzzy'", "lloyd --help"},
        {"--input a.h5 fit", "--input", "before the command"},
        {"help sinth", "sinth", "did you mean synth?"},
        {"help fit extra", "'extra'", "out of place"},
        {"--version now", "'now'", "out of place"},
        {FIT "--sede 4", "no option --sede;", "did you mean --seed?"},
        {FIT "--sede=4", "no option --sede;", "did you mean --seed?"},
        {FIT "--max 4", "--max;", "did you mean --max-iters?"},
        {FIT "--max_iters 4", "--max_iters", "did you mean --max-iters?"},
        {FIT "--k 8", "--k;", "did you mean -k?"},
        {FIT "-K 8", "-K;", "did you mean -k?"},
        {FIT "--quantum", "--quantum", "lloyd fit --help"},
        {FIT "-x", "-x", "lloyd fit --help"},
        {"predict --seed 3", "lloyd predict has no option --seed", ""},
        {FIT "--seed", "--seed needs a value", "end of the command line"},
        {FIT "--log --dry-run", "--log needs a value before --dry-run", "--log=VALUE"},
        {"fit --output -k 8 --input a.h5", "--output needs a value before -k", ""},
        {FIT "--log=", "--log needs a value", "empty"},
        {FIT "--log \"\"", "--log needs a value", "empty"},
        {FIT "--dry-run=yes", "--dry-run takes no value", "'yes'"},
        {"fit -k 1e6", "option -k: '1e6'", "not a whole number"},
        {"fit -k8x", "option -k: '8x' is not a whole number", ""},
        {"fit -k=8", "option -k: '=8' is not a whole number", ""},
        {"fit -k 1M", "'1M' is not a whole number", "from 1 to 2147483647"},
        {"fit -k 0", "'0' is out of range", "from 1 to 2147483647"},
        {"fit -k -5", "'-5' is out of range", "from 1"},
        {"fit -k-5", "'-5' is out of range", "from 1"},
        {"fit -k 2147483648", "'2147483648' is out of range", "2147483647"},
        {"fit -k 99999999999999999999999", "out of range", ""},
        {"fit -k +5", "'+5' is not a whole number", ""},
        {"fit -k 0x10", "'0x10' is not a whole number", ""},
        {FIT "--seed -1", "option --seed: '-1' is out of range", "18446744073709551615"},
        {FIT "--seed 18446744073709551616", "out of range", "18446744073709551615"},
        {FIT "--seed 1.5", "'1.5' is not a whole number", ""},
        {FIT "--n-init 0", "--n-init: '0' is out of range", "from 1"},
        {FIT "--max-iters -1", "--max-iters: '-1' is out of range", "from 0"},
        {FIT "--chunk-rows 0", "--chunk-rows: '0' is out of range", "from 1"},
        {FIT "--max-host-memory 0", "--max-host-memory: '0' is no amount of memory", "64GiB"},
        {FIT "--max-host-memory G", "'G' is no amount of memory", ""},
        {FIT "--max-host-memory 1.5G", "'1.5G' is no amount of memory", ""},
        {FIT "--max-host-memory 7X", "'7X' is no amount of memory", ""},
        {FIT "--max-host-memory 7Gb", "'7Gb' is no amount of memory", ""},
        {FIT "--max-host-memory 7GiBs", "'7GiBs' is no amount of memory", ""},
        {FIT "--max-host-memory=-1", "'-1' is no amount of memory", ""},
        {FIT "--max-device-memory 9999999T", "'9999999T' is no amount of memory", ""},
        {FIT "--max-device-memory 18446744073709551617", "is no amount of memory", ""},
        {FIT "--tol -0.5", "--tol: '-0.5' is out of range", "0 or greater"},
        {FIT "--tol=inf", "'inf' is not a number", "finite"},
        {FIT "--tol nan", "'nan' is not a number", ""},
        {FIT "--tol 1e999", "'1e999' is out of range", "finite"},
        {FIT "--tol 1e-3x", "'1e-3x' is not a number", ""},
        {FIT "--tol 0x1p3", "'0x1p3' is not a number", ""},
        {FIT "--tol .", "'.' is not a number", ""},
        {FIT "--metric cosin", "'cosin' is none of l2, cosine", "did you mean cosine?"},
        {FIT "--metric euclidean", "none of l2, cosine", "did you mean l2?"},
        {FIT "--empty drop", "'drop' is none of relocate, keep", ""},
        {FIT "--backend gpu", "none of auto, cuda, cpu", "did you mean cuda?"},
        {FIT "--comm nccll", "none of auto, nccl, mpi", "did you mean nccl?"},
        {FIT "--progress bat", "none of auto, bar, plain, none", "did you mean bar?"},
        {FIT "--init randm", "none of random, kmeans++, kmeans-parallel or a model",
         "did you mean random?"},
        {FIT "--init kmeans", "--init", "did you mean kmeans++?"},
        {FIT "--init k-means++", "--init", "did you mean kmeans++?"},
        {FIT "--init kmeans||", "--init", "did you mean kmeans-parallel?"},
        {SYNTH "--type float", "none of float32, float16, bfloat16, uint8, int8",
         "did you mean float32?"},
        {SYNTH "--type u8", "--type", "did you mean uint8?"},
        {"synth --rows 0", "--rows: '0' is out of range", ""},
        {"synth --dim x", "--dim: 'x' is not", ""},
        {"synth --clusters 0", "--clusters: '0' is out", ""},
        {"fit", "lloyd fit needs --input FILE[:DATASET], -k K, --output MODEL.h5", "--help"},
        {"fit --input a.h5 -k 8", "needs --output MODEL.h5", ""},
        {"predict --input a.h5 --output b.h5", "needs --model MODEL.h5", ""},
        {"info", "lloyd info needs FILE", ""},
        {"info \"\"", "empty", ""},
        {"report m.h5", "lloyd report needs --output REPORT.html", ""},
        {"report -o p.html", "needs MODEL.h5", ""},
        {"report m.h5 -o a --output b", "--output is given twice", ""},
        {FIT "-o m.h5", "--output is given twice", ""},
        {"--help ftt", "command ftt", "did you mean fit?"},
        {"-h fit extra", "'extra'", "out of place"},
        {"wrap x.npy", "needs --output X.h5", ""},
        {"wrap --output x.h5", "needs RAW", ""},
        {"synth --rows 1", "needs --dim D, --clusters C, --output X.h5", ""},
        {FIT "--seed 1 --seed 2", "--seed is given twice", ""},
        {FIT "-k 9", "-k is given twice", ""},
        {FIT "--dry-run --dry-run", "--dry-run is given twice", ""},
        {FIT "--log m.h5", "--log and --output are both m.h5", ""},
        {FIT "b.h5", "'b.h5' is out of place", "glob goes in quotes"},
        {"fit a.h5", "'a.h5' is out of place", "--help"},
        {"info a.h5 b.h5", "'b.h5' after 'a.h5'", ""},
        {FIT "--checkpoint", "--checkpoint needs a value", ""},
        {FIT "--checkpoint-evry 5", "no option --checkpoint-evry;", "mean --checkpoint-every?"},
        {FIT "--resume=yes", "--resume takes no value", "'yes'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        words w = {.argc = 0};
        lloyd_cli cli;
        split(rows[i].line, &w);
        lloyd_status status = lloyd_cli_parse(w.argc, w.argv, &cli);
        if (status != LLOYD_USAGE) fail_msg("'%s' gives status %d", rows[i].line, (int)status);
        const char *message = lloyd_message();
        if (strstr(message, rows[i].first) == NULL || strstr(message, rows[i].second) == NULL)
            fail_msg("'%s' gives '%s' without '%s' or '%s'", rows[i].line, message, rows[i].first,
                     rows[i].second);
    }
}

static void suggestions(void **state)
{
    static const char *const names[] = {"--seed", "--input", "--init", "--max-iters", "-k"};
    static const struct {
        const char *word, *nearest;
    } rows[] = {{"--seed", "--seed"},
                {"--SEED", "--seed"},
                {"--esed", "--seed"},
                {"--seeed", "--seed"},
                {"-seed", "--seed"},
                {"--sd", "--seed"},
                {"--iinit", "--init"},
                {"--inptu", "--input"},
                {"--maxiters", "--max-iters"},
                {"--ma", "--max-iters"},
                {"--tolerance", NULL},
                {"-x", NULL},
                {"", NULL},
                {"--", NULL}};
    char longer[400];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *nearest = lloyd_cli_suggest(rows[i].word, names, 5);
        if (rows[i].nearest == NULL)
            assert_null(nearest);
        else
            assert_string_equal(nearest != NULL ? nearest : "nothing", rows[i].nearest);
    }
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_null(lloyd_cli_suggest(longer, names, 5));
}

/* ---- Help, quoting --------------------------------------------------------------------- */

static char *help_text(lloyd_cli_command topic)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    lloyd_cli_help(out, topic);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void help_has_every_option(void **state)
{
    static const char *const fit[] = {"--input",
                                      "--dataset",
                                      "-k",
                                      "--output",
                                      "--init",
                                      "--init-trials",
                                      "--init-sample",
                                      "--seed",
                                      "--n-init",
                                      "--max-iters",
                                      "--tol",
                                      "--metric",
                                      "--weights",
                                      "--skip-bad-rows",
                                      "--empty",
                                      "--backend",
                                      "--comm",
                                      "--chunk-rows",
                                      "--max-host-memory",
                                      "--max-device-memory",
                                      "--no-labels",
                                      "--force",
                                      "--checkpoint",
                                      "--checkpoint-every",
                                      "--resume",
                                      "--log",
                                      "--progress",
                                      "--timeout",
                                      "--dry-run"};
    (void)state;
    for (int topic = LLOYD_CLI_FIT; topic <= LLOYD_CLI_SYNTH; topic++) {
        char *text = help_text((lloyd_cli_command)topic);
        for (int i = 0; lloyd_cli_option((lloyd_cli_command)topic, i) != NULL; i++)
            assert_non_null(strstr(text, lloyd_cli_option((lloyd_cli_command)topic, i)));
        for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
            if (strstr(line, "Example") == NULL && strncmp(line, "Usage", 5) != 0 &&
                strncmp(line, "  ", 2) != 0)
                assert_true(strcspn(line, "\n") <= 80);
        free(text);
    }
    for (size_t i = 0; i < sizeof fit / sizeof *fit; i++)
        assert_string_equal(lloyd_cli_option(LLOYD_CLI_FIT, (int)i), fit[i]);
    assert_null(lloyd_cli_option(LLOYD_CLI_FIT, sizeof fit / sizeof *fit));
    assert_null(lloyd_cli_option(LLOYD_CLI_HELP, 0));

    char *text = help_text(LLOYD_CLI_FIT);
    assert_non_null(strstr(text, "random|kmeans++|kmeans-parallel|MODEL.h5"));
    assert_non_null(strstr(text, "Default: 25."));
    assert_non_null(strstr(text, "--checkpoint-every T"));
    free(text);
    text = help_text(LLOYD_CLI_HELP);
    static const char *const commands[] = {"  fit ",  "  predict ", "  info ",
                                           "  wrap ", "  synth ",   "  help "};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        assert_non_null(strstr(text, commands[i]));
    free(text);
}

static void command_line_is_quoted(void **state)
{
    char *argv[] = {"lloyd", "fit", "--input", "part-*.h5",      "a b",
                    "it's",  "",    "$HOME",   "x=1,2:/y@%+_.-", "--init=kmeans||"};
    char *line = NULL;
    (void)state;
    assert_int_equal(lloyd_cli_join(sizeof argv / sizeof *argv, argv, &line), LLOYD_OK);
    assert_string_equal(line, "lloyd fit --input 'part-*.h5' 'a b' 'it'\\''s' '' '$HOME' "
                              "x=1,2:/y@%+_.- '--init=kmeans||'");
    free(line);
    assert_int_equal(lloyd_cli_join(0, argv, &line), LLOYD_OK);
    assert_string_equal(line, "");
    free(line);
    assert_int_equal(lloyd_cli_quote("'''", &line), LLOYD_OK);
    assert_string_equal(line, "''\\'''\\'''\\'''");
    free(line);
}

/* ---- JSON ------------------------------------------------------------------------------ */

static void text_and_numbers_are_json(void **state)
{
    static const struct {
        const char *text, *json;
    } texts[] = {{"", "\"\""},
                 {"a b", "\"a b\""},
                 {"\"\\/", "\"\\\"\\\\/\""},
                 {"\n\t\x01\x1f", "\"\\u000a\\u0009\\u0001\\u001f\""},
                 {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
                  "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
                 {"\xff\xc3", "\"\\ufffd\\ufffd\""},
                 {"\xc0\x80", "\"\\ufffd\\ufffd\""},                       /* overlong */
                 {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},            /* surrogate */
                 {"\xf0\x9f\x98", "\"\\ufffd\\ufffd\\ufffd\""},            /* cut off */
                 {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* above U+10FFFF */
                 {NULL, "null"}};
    static const struct {
        double value;
        const char *json;
    } numbers[] = {{0.1, "0.10000000000000001"},
                   {1e300, "1.0000000000000001e+300"},
                   {-3, "-3"},
                   {NAN, "null"},
                   {INFINITY, "null"},
                   {-INFINITY, "null"}};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts + sizeof numbers / sizeof *numbers; i++) {
        size_t n = i - sizeof texts / sizeof *texts, bytes = 0;
        int is_text = i < sizeof texts / sizeof *texts;
        char *json = NULL;
        FILE *out = open_memstream(&json, &bytes);
        assert_non_null(out);
        if (is_text)
            lloyd_json_text(out, texts[i].text);
        else
            lloyd_json_number(out, numbers[n].value);
        assert_int_equal(fclose(out), 0);
        assert_string_equal(json, is_text ? texts[i].json : numbers[n].json);
        free(json);
    }
}

/* A JSON value at `at`: returns where it ends, NULL if it is none (RFC 8259). */
static const char *json_value(const char *at);

static const char *json_string(const char *at)
{
    if (*at++ != '"') return NULL;
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20) return NULL;
        if (*at != '\\') continue;
        at++;
        if (*at == 'u' && strspn(at + 1, "0123456789abcdefABCDEF") >= 4)
            at += 4;
        else if (*at == '\0' || strchr("\"\\/bfnrt", *at) == NULL)
            return NULL;
    }
    return at + 1;
}

static const char *json_number(const char *at)
{
    at += *at == '-';
    size_t digits = strspn(at, "0123456789");
    if (digits == 0 || (digits > 1 && *at == '0')) return NULL;
    at += digits;
    if (*at == '.') {
        at++;
        digits = strspn(at, "0123456789");
        if (digits == 0) return NULL;
        at += digits;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '+' || *at == '-';
        digits = strspn(at, "0123456789");
        if (digits == 0) return NULL;
        at += digits;
    }
    return at;
}

static const char *json_list(const char *at, char end, int named)
{
    if (*++at == end) return at + 1;
    for (;; at++) {
        if (named && ((at = json_string(at)) == NULL || *at++ != ':')) return NULL;
        if ((at = json_value(at)) == NULL) return NULL;
        if (*at == end) return at + 1;
        if (*at != ',') return NULL;
    }
}

static const char *json_value(const char *at)
{
    static const char *const literals[] = {"null", "true", "false"};
    for (size_t i = 0; i < 3; i++)
        if (strncmp(at, literals[i], strlen(literals[i])) == 0) return at + strlen(literals[i]);
    if (*at == '{') return json_list(at, '}', 1);
    if (*at == '[') return json_list(at, ']', 0);
    return *at == '"' ? json_string(at) : json_number(at);
}

static void write_log(const char *path)
{
    const lloyd_progress_rank ranks[] = {{1000, {[LLOYD_PART_ASSIGN] = 1500000000}},
                                         {2000, {[LLOYD_PART_IDLE] = 250}}};
    const lloyd_fit_result result = {.iterations = 2,
                                     .inertia = 1.5,
                                     .seconds = 0.25,
                                     .largest = 3};
    lloyd_progress *p = NULL;
    assert_int_equal(lloyd_progress_open("none", path, 0, &p), LLOYD_OK);
    lloyd_progress_begin(p, &(lloyd_progress_run){.n = 10,
                                                  .d = 2,
                                                  .k = 3,
                                                  .type = "uint8",
                                                  .ranks = 2,
                                                  .threads = 1,
                                                  .backend = "cpu",
                                                  .init = "random",
                                                  .seed = UINT64_MAX,
                                                  .n_init = 1,
                                                  .max_iters = 2,
                                                  .files = 1,
                                                  .first_file = "odd \"name\"\n\xff.h5"});
    lloyd_progress_phase(p, "read", 0.125);
    lloyd_progress_iteration(p, &(lloyd_step){.iteration = 1, .inertia = INFINITY, .seconds = 0.1});
    lloyd_progress_iteration(p, &(lloyd_step){.iteration = 2,
                                              .inertia = 0.1,
                                              .moved = 4,
                                              .verified = 1});
    lloyd_progress_end(p, &result, ranks, 2, 1);
    assert_int_equal(lloyd_progress_close(p), LLOYD_OK);
}

static void make_name(char *path, size_t bytes)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, bytes, "%s/lloyd-test-cli-XXXXXX", folder != NULL ? folder : "/tmp");
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(close(file), 0);
}

static void every_log_line_is_json(void **state)
{
    static const char *const expected[] = {"{\"event\":\"begin\",", "{\"event\":\"phase\",",
                                           "{\"event\":\"iteration\",", "{\"event\":\"iteration\",",
                                           "{\"event\":\"end\","};
    static const struct {
        int line;
        const char *text;
    } contents[] = {{0, "\"seed\":18446744073709551615,"},
                    {0, "\"first_file\":\"odd \\\"name\\\"\\u000a\\ufffd.h5\""},
                    {1, "\"phase\":\"read\",\"seconds\":0.125}"},
                    {2, "\"inertia\":null"},
                    {3, "\"inertia\":0.10000000000000001,\"moved\":4,\"verified\":1"},
                    {4, "\"converged\":false"},
                    {4, "\"memory_peak\":[1000,2000],\"parts\":{\"rows\":[0.000000,0.000000],"},
                    {4, ",\"assign\":[1.500000,0.000000],"},
                    {4, ",\"sum\":[0.000000,0.000000]}}"}};
    char path[512], line[4096];
    int lines = 0;
    (void)state;
    make_name(path, sizeof path);
    write_log(path);
    write_log(path); /* a second run replaces the log of the first */
    FILE *log = fopen(path, "r");
    assert_non_null(log);
    for (; fgets(line, sizeof line, log) != NULL; lines++) {
        const char *end = json_value(line);
        if (end == NULL || strcmp(end, "\n") != 0) fail_msg("no JSON: %s", line);
        assert_true(lines < 5);
        assert_memory_equal(line, expected[lines], strlen(expected[lines]));
        for (size_t i = 0; i < sizeof contents / sizeof *contents; i++)
            if (contents[i].line == lines) assert_non_null(strstr(line, contents[i].text));
    }
    assert_int_equal(lines, 5);
    assert_int_equal(fclose(log), 0);
    assert_int_equal(unlink(path), 0);
}

static void a_log_cannot_replace_data(void **state)
{
    char path[512];
    lloyd_progress *p = NULL;
    (void)state;
    make_name(path, sizeof path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("\x89HDF", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(lloyd_progress_open("none", path, 0, &p), LLOYD_USAGE);
    assert_null(p);
    assert_non_null(strstr(lloyd_message(), path));
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fgetc(file), 0x89);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(unlink(path), 0);
}

static void log_failures_are_reported(void **state)
{
    lloyd_progress *p = NULL;
    (void)state;
    assert_int_equal(lloyd_progress_open("none", "/nonexistent/folder/l.jsonl", 0, &p),
                     LLOYD_FAILED);
    assert_non_null(strstr(lloyd_message(), "/nonexistent/folder/l.jsonl"));
    assert_int_equal(lloyd_progress_open("sometimes", NULL, 0, &p), LLOYD_USAGE);
    assert_null(p);
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(lloyd_progress_open("none", "/dev/full", 0, &p), LLOYD_OK);
        lloyd_progress_phase(p, "read", 1);
        assert_int_equal(lloyd_progress_close(p), LLOYD_FAILED);
        assert_non_null(strstr(lloyd_message(), "/dev/full"));
    }
    lloyd_progress_phase(NULL, "read", 1);
    assert_int_equal(lloyd_progress_close(NULL), LLOYD_OK);
}

/* What three iterations of these inertias, of n rows, write to standard error. */
static void plain_lines(int64_t n, const double inertia[3], char *text, size_t bytes)
{
    char path[512];
    lloyd_progress *p = NULL;
    make_name(path, sizeof path);
    FILE *file = fopen(path, "w+");
    assert_non_null(file);
    int before = dup(STDERR_FILENO);
    assert_true(before >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    lloyd_status opened = lloyd_progress_open("plain", NULL, 0, &p);
    lloyd_progress_begin(p, &(lloyd_progress_run){.n = n, .k = 5, .max_iters = 3, .n_init = 1});
    for (int i = 0; i < 3; i++)
        lloyd_progress_iteration(p, &(lloyd_step){.iteration = i + 1,
                                                  .inertia = inertia[i],
                                                  .seconds = 1});
    lloyd_status closed = lloyd_progress_close(p);
    assert_true(dup2(before, STDERR_FILENO) >= 0 && close(before) == 0);
    assert_int_equal(opened, LLOYD_OK);
    assert_int_equal(closed, LLOYD_OK);
    rewind(file);
    text[fread(text, 1, bytes - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    assert_int_equal(unlink(path), 0);
}

static void any_decrease_is_shown(void **state)
{
    char text[2048];
    (void)state;
    plain_lines(10, (const double[]){1000, 999, 999 * (1 - 4e-8)}, text, sizeof text);
    assert_non_null(strstr(text, " -0.100 %  moved"));
    assert_non_null(strstr(text, "  -4e-06 %  moved"));
    plain_lines(10, (const double[]){1000, 1000, 999.99}, text, sizeof text);
    assert_non_null(strstr(text, " +0.000 %  moved"));
    assert_non_null(strstr(text, " -0.001 %  moved"));
}

/* Exact k-means does not raise the inertia: what does is rounding, where next to nothing is left. */
static void rounding_is_not_shown(void **state)
{
    char text[2048];
    (void)state;
    plain_lines(10, (const double[]){1e-12, 2e-12, 1.0000001e-12}, text, sizeof text);
    assert_null(strstr(text, "+1"));
    assert_non_null(strstr(text, " -50.000 %  moved"));
    plain_lines(5, (const double[]){1e-12, 2e-12, 1e-12}, text, sizeof text); /* K = N */
    assert_null(strstr(text, "00 %  moved"));
}

/* ---- Numbers for a person -------------------------------------------------------------- */

static void numbers_have_one_style(void **state)
{
    static const struct {
        double value;
        const char *text;
    } seconds[] = {{0, "0 s"},
                   {1.5, "1.5 s"},
                   {0.25, "0.25 s"},
                   {0.01234, "0.0123 s"},
                   {99.95, "100 s"},
                   {999.4, "999 s"},
                   {999.6, "1,000 s"},
                   {123456.7, "123,457 s"},
                   {4.123e-5, "0.0000412 s"},
                   {1e-4, "0.0001 s"}},
      scaled[] = {{0, "0 rows/s"},         {999.4, "999 rows/s"},  {999.6, "1.0 krows/s"},
                  {12345, "12.3 krows/s"}, {99951, "100 krows/s"}, {1.5e9, "1.5 Grows/s"},
                  {1e21, "1000 Erows/s"}};
    char text[64];
    (void)state;
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
        assert_string_equal(lloyd_text_seconds(seconds[i].value, text, sizeof text),
                            seconds[i].text);
    for (size_t i = 0; i < sizeof scaled / sizeof *scaled; i++)
        assert_string_equal(lloyd_text_scaled(scaled[i].value, "rows/s", text, sizeof text),
                            scaled[i].text);
    assert_true(lloyd_text_change(200, 100) == -50 && lloyd_text_change(200, 200) == 0);
    assert_true(lloyd_text_change(1e9, 1e9 + 1) > 0); /* centroids are rounded to float32 */
    assert_true(isnan(lloyd_text_change(1e-13, 2.03e-13)) && isnan(lloyd_text_change(0, 0)));
    assert_true(isnan(lloyd_text_change(NAN, 1)) && isnan(lloyd_text_change(1, NAN)));
}

/* ---- Summary --------------------------------------------------------------------------- */

static char *printed_summary(const lloyd_fit_result *result, int fancy)
{
    const char *const inputs[] = {"part-*.h5"};
    lloyd_fit_options options;
    char *text = NULL;
    size_t bytes = 0;
    lloyd_fit_defaults(&options);
    options.inputs = inputs;
    options.input_count = 1;
    options.output = "model.h5";
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    lloyd_summary_print(out, &options, result, 3, fancy);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void check_summary(const lloyd_fit_result *result, const char *has, const char *lacks)
{
    char *text = printed_summary(result, 0);
    if (has && !strstr(text, has)) fail_msg("no '%s' in %s", has, text);
    if (lacks && strstr(text, lacks)) fail_msg("'%s' in %s", lacks, text);
    free(text);
}

/* What this call did, and what was done before it. */
static void summary_of_a_resumed_fit(void **state)
{
    const double inertia[] = {9, 8, 7, 6, 5}, seconds[] = {100, 300, 2, 3, 4};
    const int64_t counts[] = {5, 5};
    lloyd_fit_result result =
        {.n = 10, .d = 1, .k = 2, .inertia = 5, .seconds = 12, .type = "int8"};
    (void)state;
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 5, counts, 2, &result), LLOYD_OK);
    check_summary(&result, "  time        12 s in all, 81.8 s per iteration\n", "resumed");
    result.resumed = 1;
    result.resumed_iterations = 2;
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 5, counts, 2, &result), LLOYD_OK);
    assert_true(result.iteration_seconds == 3 && result.resumed_seconds == 400);
    check_summary(&result,
                  "  time        12 s since it was resumed, 3 s per iteration (iterations 3 to 5)\n"
                  "              before that 400 s in iterations 1 to 2, 200 s per iteration\n",
                  "in all");
    result.resumed_iterations = 4;
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 5, counts, 2, &result), LLOYD_OK);
    check_summary(&result, " 4 s per iteration (iteration 5)\n", NULL);
    result.resumed_iterations = 5; /* the run that was kept had ended before */
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 5, counts, 2, &result), LLOYD_OK);
    check_summary(&result,
                  "  time        12 s since it was resumed\n"
                  "              before that 409 s in iterations 1 to 5, 81.8 s per iteration\n",
                  NULL);
}

static void summary_claims_what_is_known(void **state)
{
    const double inertia[] = {1e-13, 1e-13}, seconds[] = {1, 1};
    int64_t counts[100] = {50, 50, 50, 50, 50, 50, 50, 50, 50, 50};
    lloyd_fit_result result = {.n = 500, .d = 1, .k = 100, .inertia = 2.03e-13, .type = "int8"};
    (void)state;
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 2, counts, 100, &result), LLOYD_OK);
    check_summary(&result, "inertia     2.03e-13, at first 1e-13\n", "only");
    assert_int_equal(lloyd_summary_distinct(0, 100, result.empty_clusters), 10);
    assert_int_equal(lloyd_summary_distinct(1e-300, 100, result.empty_clusters), 0);
    assert_int_equal(lloyd_summary_distinct(0, 100, 0), 0);
    result.inertia = 0;
    result.distinct_rows = 10;
    check_summary(&result, "(-100.0 %)", NULL);
    check_summary(&result, "\n              only 10 distinct rows, 90 clusters are empty\n", NULL);
    result.distinct_rows = 99, result.empty_clusters = 1;
    check_summary(&result, "only 99 distinct rows, 1 cluster is empty\n", NULL);
    result.inertia = 0.5e-13, result.n = 100; /* K = N */
    check_summary(&result, "inertia     5e-14, at first 1e-13\n", NULL);

    lloyd_model model = {.k = 100, .version = "0.1.0", .options = "{\"weights\":null}"};
    assert_int_equal(lloyd_summary_model_distinct(&model, 90), 10);
    model.options = "{\"log\":\"\\\"weights\\\":null\",\"weights\":\"w\"}";
    assert_int_equal(lloyd_summary_model_distinct(&model, 90), 0);
    model.options = "{\"weights\":null}", model.cosine = 1;
    assert_int_equal(lloyd_summary_model_distinct(&model, 90), 0);
    model.cosine = 0, model.version = "";
    assert_int_equal(lloyd_summary_model_distinct(&model, 90), 0);
}

static void summary_sizes_have_ranges(void **state)
{
    const int64_t counts[] = {0, 1, 9, 10, 10, 30, 20, 0}; /* mean 10 */
    lloyd_fit_result result = {.n = 80, .d = 1, .k = 8, .type = "int8"};
    (void)state;
    assert_int_equal(lloyd_summary_describe(NULL, NULL, 0, counts, 8, &result), LLOYD_OK);
    check_summary(
        &result,
        "              clusters by cluster size / mean size:\n"
        "          < 1/8  1/8-1/4  1/4-1/2    1/2-1      1-2      2-4      4-8     >= 8\n"
        "              1        0        0        1        2        2        0        0\n",
        NULL);
    char *text = printed_summary(&result, 1);
    assert_non_null(strstr(text, "\n              ▅                          ▅        █        █"));
    free(text);
}

static void summary_figures(void **state)
{
    double inertia[100], seconds[100];
    const int64_t counts[] = {0, 1, 9, 10, 10, 30, 20, 0}; /* mean 10 */
    lloyd_fit_result result =
        {.n = 1234567, .d = 3, .k = 8, .inertia = 5, .files = 2, .type = "int8"};
    (void)state;
    for (int i = 0; i < 100; i++) {
        inertia[i] = 200 - i;
        seconds[i] = 0.5;
    }
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 100, counts, 8, &result), LLOYD_OK);
    assert_int_equal(result.iterations, 100);
    assert_int_equal(result.curve_points, LLOYD_CURVE_POINTS);
    assert_true(result.curve[0] == 200 && result.curve[LLOYD_CURVE_POINTS - 1] == 101);
    assert_true(result.first_inertia == 200 && result.iteration_seconds == 0.5);
    assert_int_equal(result.smallest, 0);
    assert_int_equal(result.median, 10);
    assert_int_equal(result.largest, 30);
    assert_int_equal(result.empty_clusters, 2);
    const int64_t bins[LLOYD_SIZE_BINS] = {1, 0, 0, 1, 2, 2, 0, 0};
    assert_memory_equal(result.size_bins, bins, sizeof bins);

    for (int fancy = 0; fancy < 2; fancy++) {
        char *text = printed_summary(&result, fancy);
        assert_non_null(
            strstr(text, "Clustered 1,234,567 rows x 3 columns of int8 into 8 clusters"));
        assert_non_null(strstr(text, "part-*.h5 (2 files)"));
        assert_non_null(strstr(text, "2 empty"));
        assert_non_null(strstr(text, "model.h5"));
        for (const char *c = text; *c != '\0' && !fancy; c++) assert_true((unsigned char)*c < 0x80);
        free(text);
    }
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 0, counts, 1, &result), LLOYD_OK);
    assert_int_equal(result.curve_points, 0);
}

static void prediction_summary(void **state)
{
    const char *const inputs[] = {"new.h5", "more.h5"};
    const lloyd_predict_options options = {.model = "m.h5",
                                           .inputs = inputs,
                                           .input_count = 2,
                                           .output = "l.h5"};
    const lloyd_predict_result result =
        {.n = 1234567, .d = 3, .k = 1000, .seconds = 1.5, .files = 2, .type = "int8"};
    char *text = NULL;
    size_t bytes = 0;
    (void)state;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    lloyd_summary_print_prediction(out, &options, &result, 3);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "Labelled 1,234,567 rows x 3 columns of int8 by 1,000 centroids\n"
                              "  input       new.h5 ... (2 files)\n"
                              "  ranks       3\n"
                              "  model       m.h5\n"
                              "  time        1.5 s\n"
                              "  labels      l.h5\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults_are_kept),
                                       cmocka_unit_test(every_fit_option_arrives),
                                       cmocka_unit_test(other_commands_arrive),
                                       cmocka_unit_test(init_may_be_a_file),
                                       cmocka_unit_test(help_and_version),
                                       cmocka_unit_test(errors_say_what_to_do),
                                       cmocka_unit_test(suggestions),
                                       cmocka_unit_test(help_has_every_option),
                                       cmocka_unit_test(command_line_is_quoted),
                                       cmocka_unit_test(text_and_numbers_are_json),
                                       cmocka_unit_test(every_log_line_is_json),
                                       cmocka_unit_test(a_log_cannot_replace_data),
                                       cmocka_unit_test(log_failures_are_reported),
                                       cmocka_unit_test(any_decrease_is_shown),
                                       cmocka_unit_test(rounding_is_not_shown),
                                       cmocka_unit_test(numbers_have_one_style),
                                       cmocka_unit_test(summary_of_a_resumed_fit),
                                       cmocka_unit_test(summary_claims_what_is_known),
                                       cmocka_unit_test(summary_sizes_have_ranges),
                                       cmocka_unit_test(summary_figures),
                                       cmocka_unit_test(prediction_summary)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
