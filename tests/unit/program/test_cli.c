/* The command line (src/program/cli.c). Every wrong command line is one row: the arguments, and what its
 * message must contain.
 */
#include "options/suggest.h"
#include "program/cli.h"
#include "program/help.h"
#include "program/quote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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
    assert_int_equal(cli.command, LLOYD_COMMAND_FIT);
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
    assert_int_equal(cli.command, LLOYD_COMMAND_PREDICT);
    assert_string_equal(cli.predict.model, "m.h5");
    assert_int_equal(cli.predict.input_count, 2);
    assert_string_equal(cli.predict.inputs[1], "b.h5");
    assert_string_equal(cli.predict.output, "l.h5");
    assert_int_equal(cli.predict.distances, 1);
    lloyd_cli_free(&cli);

    parse("info m.h5 --raw bfloat16 --dim 7", &w, &cli);
    assert_int_equal(cli.command, LLOYD_COMMAND_INFO);
    assert_string_equal(cli.info.file, "m.h5");
    assert_string_equal(cli.info.raw, "bfloat16");
    assert_int_equal(cli.info.dim, 7);
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
        assert_int_equal(cli.command, LLOYD_COMMAND_REPORT);
        assert_string_equal(cli.report.model, "m.h5");
        assert_string_equal(cli.report.log, "l.jsonl");
        assert_string_equal(cli.report.output, "p.html");
        lloyd_cli_free(&cli);
    }

    parse("export m.h5 --to out --format csv --force", &w, &cli);
    assert_int_equal(cli.command, LLOYD_COMMAND_EXPORT);
    assert_string_equal(cli.export.model, "m.h5");
    assert_string_equal(cli.export.to, "out");
    assert_string_equal(cli.export.format, "csv");
    assert_int_equal(cli.export.force, 1);
    lloyd_cli_free(&cli);

    parse("select a.h5 --sample 10 b.h5 -o rows.npy --input x.h5 --near-duplicates 0.9", &w, &cli);
    assert_int_equal(cli.command, LLOYD_COMMAND_SELECT);
    assert_int_equal(cli.select.cluster_count, 2);
    assert_string_equal(cli.select.clusters[0], "a.h5");
    assert_string_equal(cli.select.clusters[1], "b.h5");
    assert_int_equal(cli.select.input_count, 1);
    assert_string_equal(cli.select.inputs[0], "x.h5");
    assert_string_equal(cli.select.order, "random");
    assert_string_equal(cli.select.keep, "farthest");
    assert_string_equal(cli.select.compare_with, "kept");
    assert_true(cli.select.near_duplicates == 0.9);
    lloyd_cli_free(&cli);

    parse("wrap one.u8bin --output x.h5 two.u8bin -- --three", &w, &cli);
    assert_int_equal(cli.command, LLOYD_COMMAND_WRAP);
    assert_int_equal(cli.wrap.input_count, 3);
    assert_string_equal(cli.wrap.inputs[0], "one.u8bin");
    assert_string_equal(cli.wrap.inputs[1], "two.u8bin");
    assert_string_equal(cli.wrap.inputs[2], "--three");
    assert_string_equal(cli.wrap.output, "x.h5");
    lloyd_cli_free(&cli);

    parse("synth --rows 5000000000 --dim 96 --clusters 100 --type bfloat16 --seed 7 --output x.h5",
          &w, &cli);
    assert_int_equal(cli.command, LLOYD_COMMAND_SYNTH);
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
        lloyd_command_id command, topic;
    } rows[] = {{"--help", LLOYD_COMMAND_HELP, LLOYD_COMMAND_HELP},
                {"-h", LLOYD_COMMAND_HELP, LLOYD_COMMAND_HELP},
                {"help", LLOYD_COMMAND_HELP, LLOYD_COMMAND_HELP},
                {"help --help", LLOYD_COMMAND_HELP, LLOYD_COMMAND_HELP},
                {"help fit", LLOYD_COMMAND_HELP, LLOYD_COMMAND_FIT},
                {"--help fit", LLOYD_COMMAND_HELP, LLOYD_COMMAND_FIT},
                {"-h predict", LLOYD_COMMAND_HELP, LLOYD_COMMAND_PREDICT},
                {"--help --help", LLOYD_COMMAND_HELP, LLOYD_COMMAND_HELP},
                {"fit --help", LLOYD_COMMAND_HELP, LLOYD_COMMAND_FIT},
                {"predict --nonsense -h", LLOYD_COMMAND_HELP, LLOYD_COMMAND_PREDICT},
                {"info --help", LLOYD_COMMAND_HELP, LLOYD_COMMAND_INFO},
                {"help wrap", LLOYD_COMMAND_HELP, LLOYD_COMMAND_WRAP},
                {"synth -h", LLOYD_COMMAND_HELP, LLOYD_COMMAND_SYNTH},
                {"--version", LLOYD_COMMAND_VERSION, LLOYD_COMMAND_HELP}};
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
        {FIT "--max 4", "--max;", "did you mean --max-size?"},
        {FIT "--max-iter 4", "--max-iter;", "did you mean --max-iters?"},
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
        {FIT "--max-host-memory 0", "--max-host-memory: '0' is not an amount of memory", "64GiB"},
        {FIT "--max-host-memory G", "'G' is not an amount of memory", ""},
        {FIT "--max-host-memory 1.5G", "'1.5G' is not an amount of memory", ""},
        {FIT "--max-host-memory 7X", "'7X' is not an amount of memory", ""},
        {FIT "--max-host-memory 7Gb", "'7Gb' is not an amount of memory", ""},
        {FIT "--max-host-memory 7GiBs", "'7GiBs' is not an amount of memory", ""},
        {FIT "--max-host-memory=-1", "'-1' is not an amount of memory", ""},
        {FIT "--max-device-memory 9999999T", "'9999999T' is not an amount of memory", ""},
        {FIT "--max-device-memory 18446744073709551617", "is not an amount of memory", ""},
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
        {FIT "--raw f4", "--raw: 'f4' is none of float32", "float64"},
        {FIT "--dim 0", "--dim: '0' is out of range", "from 1"},
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
        {"export m.h5", "lloyd export needs --to FOLDER", ""},
        {"select --sample 5 -o r.npy", "needs CLUSTERS.h5", ""},
        {"select m.h5 --near-duplicates 1 -o r.npy", "--near-duplicates", "'1'"},
        {"select m.h5 --near-duplicates 0 -o r.npy", "--near-duplicates", "'0'"},
        {"select m.h5 --order closest -o r.npy", "did you mean nearest?", ""},
        {"wrap x.npy", "needs --output X.h5", ""},
        {"wrap --output x.h5", "needs RAW", ""},
        {"wrap a.npy \"\" --output x.h5", "needs a RAW, but", "empty"},
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
        const char *nearest = lloyd_suggest(rows[i].word, names, 5);
        if (rows[i].nearest == NULL)
            assert_null(nearest);
        else
            assert_string_equal(nearest != NULL ? nearest : "nothing", rows[i].nearest);
    }
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_null(lloyd_suggest(longer, names, 5));
}

/* ---- Help, quoting --------------------------------------------------------------------- */

static char *help_text(lloyd_command_id topic)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    lloyd_help(out, topic);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void help_has_every_option(void **state)
{
    (void)state;
    for (int topic = 0; topic < LLOYD_COMMANDS; topic++) {
        char *text = help_text((lloyd_command_id)topic);
        for (const lloyd_option *o = lloyd_commands[topic].options; o->name != NULL; o++)
            assert_non_null(strstr(text, o->name));
        for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
            if (strstr(line, "Example") == NULL && strncmp(line, "Usage", 5) != 0 &&
                strncmp(line, "  ", 2) != 0)
                assert_true(strcspn(line, "\n") <= 80);
        free(text);
    }
    char *text = help_text(LLOYD_COMMAND_FIT);
    assert_non_null(strstr(text, "random|kmeans++|kmeans-parallel|MODEL.h5"));
    assert_non_null(strstr(text, "Default: 25."));
    assert_non_null(strstr(text, "--checkpoint-every T"));
    free(text);
    text = help_text(LLOYD_COMMAND_HELP);
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
    assert_int_equal(lloyd_quote_line(sizeof argv / sizeof *argv, argv, &line), LLOYD_OK);
    assert_string_equal(line, "lloyd fit --input 'part-*.h5' 'a b' 'it'\\''s' '' '$HOME' "
                              "x=1,2:/y@%+_.- '--init=kmeans||'");
    free(line);
    assert_int_equal(lloyd_quote_line(0, argv, &line), LLOYD_OK);
    assert_string_equal(line, "");
    free(line);
    assert_int_equal(lloyd_quote("'''", &line), LLOYD_OK);
    assert_string_equal(line, "''\\'''\\'''\\'''");
    free(line);
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
                                       cmocka_unit_test(command_line_is_quoted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
