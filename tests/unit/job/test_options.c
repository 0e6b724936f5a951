/* The table of options (src/options), and the options of the C interface: every text is one of those that lloyd.h names, and nothing else is taken
 * for one of them. Nothing is read or written, since options are looked at first.
 */
#include "comm/comm.h"
#include "job/options.h"
#include "lloyd/lloyd.h"
#include "options/table.h"
#include "options/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static lloyd_comm *comm;
static const char *const inputs[] = {"rows.h5"};

static lloyd_fit_options good_fit(void)
{
    lloyd_fit_options options;
    lloyd_fit_defaults(&options);
    options.inputs = inputs;
    options.input_count = 1;
    options.k = 2;
    options.output = "model.h5";
    return options;
}

static void check(lloyd_status status, const char *option, const char *value)
{
    if (status == LLOYD_USAGE && strstr(lloyd_message(), option)) return;
    fail_msg("%s '%s': status %d, %s", option, value ? value : "NULL", (int)status,
             lloyd_message());
}

/* A text of a fit's options, and what must be refused there, ended by NULL. */
typedef struct text {
    const char *option;
    size_t offset;
    int in_memory; /* 1: an option of lloyd_fit_rows() too */
    int needed;    /* 1: NULL is refused too */
    const char *wrong[5];
} text;

#define AT(member) offsetof(lloyd_fit_options, member)
static const text fit_texts[] = {
    {"--metric", AT(metric), 1, 1, {"Cosine", "angular", "L2", "", NULL}},
    {"--empty", AT(empty), 1, 1, {"Keep", "drop", "", NULL}},
    {"--init", AT(init), 1, 1, {"", NULL}},
    {"--backend", AT(backend), 1, 1, {"gpu", "CPU", "", NULL}},
    {"--comm", AT(comm), 1, 1, {"MPI", "gloo", "", NULL}},
    {"--filter", AT(filter), 1, 1, {"float32", "INT8", "", NULL}},
    {"--prune", AT(prune), 1, 1, {"yes", "On", "", NULL}},
    {"--progress", AT(progress), 1, 1, {"quiet", "Bar", "", NULL}},
    {"--log", AT(log), 1, 0, {"", NULL}},
    {"--output", AT(output), 0, 1, {"", NULL}},
    {"--weights", AT(weights), 0, 0, {"", NULL}},
    {"--checkpoint", AT(checkpoint), 0, 0, {"", NULL}},
    {"--checkpoint-every", AT(checkpoint_every), 0, 0, {"", "often", "5d", NULL}},
};

static void set(lloyd_fit_options *options, const text *t, const char *value)
{
    memcpy((char *)options + t->offset, &value, sizeof value);
    if (t->offset == AT(checkpoint_every)) options->checkpoint = "fit.ck";
}

static void test_fit(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof fit_texts / sizeof *fit_texts; i++) {
        const text *t = &fit_texts[i];
        for (const char *const *wrong = t->wrong; *wrong || t->needed; wrong++) {
            lloyd_fit_options options = good_fit();
            set(&options, t, *wrong);
            check(lloyd_fit(comm, &options, NULL), t->option, *wrong);
            if (!*wrong) break;
        }
    }
}

static void test_fit_rows(void **unused)
{
    (void)unused;
    const float data[4] = {1, 2, 3, 4};
    const lloyd_local_rows rows = {.data = data, .count = 2, .dim = 2, .type = "float32"};
    for (size_t i = 0; i < sizeof fit_texts / sizeof *fit_texts; i++) {
        const text *t = &fit_texts[i];
        for (const char *const *wrong = t->wrong; t->in_memory && (*wrong || t->needed); wrong++) {
            lloyd_fit_options options;
            lloyd_fit_defaults(&options);
            options.k = 1;
            set(&options, t, *wrong);
            check(lloyd_fit_rows(comm, &options, &rows, NULL, NULL, NULL), t->option, *wrong);
            if (!*wrong) break;
        }
    }
}

static void test_inputs(void **unused)
{
    (void)unused;
    const char *const wrong[][2] = {{"rows.h5", NULL}, {"rows.h5", ""}, {"", "rows.h5"}};
    lloyd_predict_options predict;
    lloyd_predict_defaults(&predict);
    predict.model = "model.h5", predict.output = "labels.h5", predict.input_count = 2;
    for (int i = 0; i < 3; i++) {
        lloyd_fit_options options = good_fit();
        options.inputs = predict.inputs = wrong[i];
        options.input_count = 2;
        check(lloyd_fit(comm, &options, NULL), "--input number", wrong[i][1]);
        check(lloyd_predict(comm, &predict, NULL), "--input number", wrong[i][1]);
    }
    lloyd_fit_options options = good_fit();
    options.inputs = NULL;
    check(lloyd_fit(comm, &options, NULL), "--input is missing", NULL);
    options = good_fit(), options.raw = "uint8";
    check(lloyd_fit(comm, &options, NULL), "--dim", NULL);
    options.dim = 4, options.dataset = "train";
    check(lloyd_fit(comm, &options, NULL), "--dataset", NULL);
    options.raw = "uint16";
    check(lloyd_fit(comm, &options, NULL), "--raw", "uint16");
    predict.input_count = 1, predict.inputs = inputs, predict.dim = 4;
    check(lloyd_predict(comm, &predict, NULL), "--raw", NULL);
}

static void test_predict(void **unused)
{
    (void)unused;
    static const char *const wrong[] = {"gpu", "", NULL};
    lloyd_predict_options good;
    lloyd_predict_defaults(&good);
    good.model = "model.h5", good.output = "labels.h5", good.inputs = inputs, good.input_count = 1;
    for (int i = 0; i < 3; i++) {
        lloyd_predict_options options = good;
        options.backend = wrong[i];
        check(lloyd_predict(comm, &options, NULL), "--backend", wrong[i]);
    }
    for (int i = 1; i < 3; i++) {
        lloyd_predict_options options = good;
        options.model = wrong[i];
        check(lloyd_predict(comm, &options, NULL), "--model", wrong[i]);
        options = good, options.output = wrong[i];
        check(lloyd_predict(comm, &options, NULL), "--output", wrong[i]);
    }
}

static void test_others(void **unused)
{
    (void)unused;
    lloyd_synth_options synth = {.rows = 1,
                                 .dim = 1,
                                 .clusters = 1,
                                 .type = "Float32",
                                 .output = "x.h5"};
    check(lloyd_synth(comm, &synth), "--type", synth.type);
    synth.type = NULL;
    check(lloyd_synth(comm, &synth), "--type", synth.type);
    synth.type = "float32", synth.output = NULL;
    check(lloyd_synth(comm, &synth), "--output", synth.output);
    synth.output = "";
    check(lloyd_synth(comm, &synth), "output", synth.output);
    const char *raw[] = {"a.npy", ""};
    lloyd_wrap_options wrap = {.inputs = raw, .input_count = 1, .output = ""};
    check(lloyd_wrap(comm, &wrap), "output", "");
    wrap.output = NULL;
    check(lloyd_wrap(comm, &wrap), "output", NULL);
    wrap.output = "x.h5", wrap.input_count = 2;
    check(lloyd_wrap(comm, &wrap), "raw files", "");
    wrap.input_count = 0;
    check(lloyd_wrap(comm, &wrap), "raw files", NULL);
    wrap.inputs = NULL, wrap.input_count = 1;
    check(lloyd_wrap(comm, &wrap), "raw files", NULL);
    lloyd_report_options report = {.model = "model.h5", .output = ""};
    check(lloyd_report(comm, &report), "output", "");
    report.output = NULL;
    check(lloyd_report(comm, &report), "output", NULL);
    lloyd_export_options export = {.model = "", .to = "out", .format = "npy"};
    check(lloyd_export(comm, &export), "model", "");
    export.model = "model.h5", export.to = NULL;
    check(lloyd_export(comm, &export), "--to", NULL);
    export.to = "out", export.format = "Npy";
    check(lloyd_export(comm, &export), "--format", "Npy");
    const char *clusters[] = {"clusters.h5", ""};
    lloyd_select_options select = {.clusters = NULL};
    lloyd_select_defaults(&select);
    check(lloyd_select(comm, &select, NULL), "file with clusters", NULL);
    select.clusters = clusters, select.cluster_count = 2, select.output = "rows.npy";
    check(lloyd_select(comm, &select, NULL), "file with clusters", NULL);
    select.cluster_count = 1;
    check(lloyd_select(comm, &select, NULL), "--sample", NULL);
    select.sample = 1, select.farthest = 2;
    check(lloyd_select(comm, &select, NULL), "one of", "--farthest");
    select.farthest = 0, select.near_duplicates = 1;
    check(lloyd_select(comm, &select, NULL), "--near-duplicates", "1");
    select.near_duplicates = 0.5;
    check(lloyd_select(comm, &select, NULL), "--input", NULL);
    select.near_duplicates = 0, select.keep = "all";
    check(lloyd_select(comm, &select, NULL), "--keep", "all");
    select.keep = "nearest", select.compare_with = "none";
    check(lloyd_select(comm, &select, NULL), "--compare-with", "none");
    check(lloyd_info(comm, NULL), "file", NULL);
    check(lloyd_info(comm, ""), "file", "");
    check(lloyd_info_file(comm, &(lloyd_info_options){.dataset = "train"}), "file", NULL);
    check(lloyd_info_file(comm, &(lloyd_info_options){.file = "x", .raw = "f32"}), "--raw", "f32");
    check(lloyd_info_file(comm, &(lloyd_info_options){.file = "x", .raw = "int8"}), "--dim", NULL);
    check(lloyd_info_file(comm, &(lloyd_info_options){.file = "x", .dim = 3}), "--raw", NULL);
    wrap.inputs = raw, wrap.raw = "int8";
    check(lloyd_wrap(comm, &wrap), "--dim", NULL);
    wrap.raw = NULL, wrap.dim = -1;
    check(lloyd_wrap(comm, &wrap), "--dim", NULL);
}

/* ---- What a resumed fit may not change ------------------------------------------------- */

/* Options of fit that decide the result, whatever the table says of them. A new one decides it by default. */
static const char *const must_decide[] = {"-k",
                                          "--init",
                                          "--init-trials",
                                          "--init-sample",
                                          "--seed",
                                          "--n-init",
                                          "--tol",
                                          "--metric",
                                          "--weights",
                                          "--empty",
                                          "--skip-bad-rows",
                                          "--sample",
                                          "--sample-per-centroid"};

static int is_listed(const char *name)
{
    for (size_t i = 0; i < sizeof must_decide / sizeof *must_decide; i++)
        if (strcmp(name, must_decide[i]) == 0) return 1;
    return 0;
}

/* A legal value that is not the one in `options`. */
static const char *other_value(const lloyd_option *o)
{
    switch (o->kind) {
    case LLOYD_OPTION_CHOICE:
    case LLOYD_OPTION_INIT:
        return o->standard && strcmp(o->choices[0].name, o->standard) == 0 ? o->choices[1].name
                                                                           : o->choices[0].name;
    case LLOYD_OPTION_TEXT: return "other";
    default: return "7";
    }
}

static char *deciding(const lloyd_fit_options *options)
{
    char *lines = NULL;
    assert_int_equal(lloyd_options_deciding(options, 0, &lines), LLOYD_OK);
    return lines;
}

static void test_deciding(void **unused)
{
    (void)unused;
    lloyd_fit_options before = good_fit();
    char *was = deciding(&before);
    size_t listed = 0;
    assert_int_equal((lloyd_option){.name = "--new"}.role, LLOYD_OPTION_DECIDES);
    for (const lloyd_option *o = lloyd_commands[LLOYD_COMMAND_FIT].options; o->name; o++) {
        lloyd_fit_options after = before;
        if (o->kind == LLOYD_OPTION_INPUT) continue;
        assert_int_equal(lloyd_option_set(o, other_value(o), &after), LLOYD_OK);
        assert_memory_not_equal(&before, &after, sizeof after);
        char *is = deciding(&after);
        int decides = o->role == LLOYD_OPTION_DECIDES;
        if ((strcmp(was, is) != 0) != decides || (is_listed(o->name) && !decides))
            fail_msg("%s may %sbe changed when a fit is resumed", o->name, decides ? "" : "not ");
        listed += (size_t)is_listed(o->name);
        free(is);
    }
    assert_int_equal(listed, sizeof must_decide / sizeof *must_decide);
    free(was);
}

/* Every default of the table is a legal value. */
static void test_defaults(void **unused)
{
    (void)unused;
    _Alignas(16) char fields[1024];
    for (int c = 0; c < LLOYD_COMMANDS; c++)
        for (const lloyd_option *o = lloyd_commands[c].options; o->name; o++)
            if (o->standard && lloyd_option_set(o, o->standard, fields) != LLOYD_OK)
                fail_msg("%s: %s", o->name, lloyd_message());
    lloyd_fit_options options = good_fit();
    assert_true(options.timeout == LLOYD_TIMEOUT && options.max_iters == 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fit),      cmocka_unit_test(test_fit_rows),
        cmocka_unit_test(test_inputs),   cmocka_unit_test(test_predict),
        cmocka_unit_test(test_others),   cmocka_unit_test(test_deciding),
        cmocka_unit_test(test_defaults),
    };
    if (lloyd_comm_open_self(&comm) != LLOYD_OK) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    lloyd_comm_close(comm);
    return failed;
}
