/* lloyd_report(): a page about a model. Everything is written into memory first, which takes a few
 * hundred kilobytes whatever the model's size: curves are thinned, and of long lists the page shows
 * a part and says so. Each section of the page has a file of its own.
 */
#include "lloyd/lloyd.h"

#include "base/json.h"
#include "comm/comm.h"
#include "io/guard.h"
#include "io/writers/model.h"
#include "io/writers/output.h"
#include "job/agreement.h"
#include "job/options.h"
#include "report/cluster_sizes.h"
#include "report/clusters.h"
#include "report/content.h"
#include "report/convergence.h"
#include "report/distances.h"
#include "report/head.h"
#include "report/provenance.h"
#include "report/timing.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- The log --------------------------------------------------------------------------- */

/* *path = the text of an option of the model, NULL where it has none; free it. */
static lloyd_status model_option(const lloyd_model *m, const char *name, char **value)
{
    char *line = strdup(m->options), *at = line;
    lloyd_json_field field;
    *value = NULL;
    if (line == NULL) return lloyd_fail(LLOYD_FAILED, "no memory for the options of a model");
    int found = 0, more = lloyd_json_open(&at);
    while (more && !found && lloyd_json_next(&at, &field) > 0)
        found = field.kind == LLOYD_JSON_TEXT && strcmp(field.name, name) == 0;
    if (found) *value = strdup(field.value);
    free(line);
    if (found && *value == NULL)
        return lloyd_fail(LLOYD_FAILED, "no memory for the options of a model");
    return LLOYD_OK;
}

static int is_regular(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* The log may have been moved together with the model: *path = the file of its name beside it. */
static lloyd_status beside_model(const char *model, const char *log, char **path)
{
    const char *slash = strrchr(model, '/'), *name = strrchr(log, '/');
    int folder = slash != NULL ? (int)(slash + 1 - model) : 0;
    if (asprintf(path, "%.*s%s", folder, model, name != NULL ? name + 1 : log) >= 0)
        return LLOYD_OK;
    *path = NULL;
    return lloyd_fail(LLOYD_FAILED, "no memory for the name of a log");
}

/* The log that the model names, if it is still there and still that of its fit. */
static lloyd_status find_log(lloyd_report_content *r)
{
    char *beside;
    LLOYD_TRY(model_option(&r->model, "log", &r->log_path));
    if (r->log_path == NULL) return LLOYD_OK;
    if (!is_regular(r->log_path)) {
        LLOYD_TRY(beside_model(r->options->model, r->log_path, &beside));
        if (!is_regular(beside)) {
            lloyd_report_say(r->log_note, sizeof r->log_note,
                             "The log of the fit, %s, no longer exists.", r->log_path);
            free(beside);
            return LLOYD_OK;
        }
        free(r->log_path);
        r->log_path = beside;
    }
    lloyd_status status = lloyd_runlog_read(r->log_path, &r->model, &r->log);
    r->logged = status == LLOYD_OK;
    if (status != LLOYD_BAD_INPUT) return status;
    lloyd_report_say(r->log_note, sizeof r->log_note,
                     "The log that the model names is left out: %s.", lloyd_message());
    return LLOYD_OK;
}

static lloyd_status open_log(lloyd_report_content *r)
{
    if (r->options->log == NULL) return find_log(r);
    LLOYD_TRY(lloyd_runlog_read(r->options->log, &r->model, &r->log));
    r->logged = 1;
    r->log_path = strdup(r->options->log);
    return r->log_path != NULL ? LLOYD_OK
                               : lloyd_fail(LLOYD_FAILED, "no memory for the name of a log");
}

/* ---- The page -------------------------------------------------------------------------- */

static lloyd_status write_page(const lloyd_report_content *r)
{
    lloyd_report_head(r);
    lloyd_report_tiles(r);
    lloyd_report_warnings(r);
    lloyd_report_doubts(r);
    LLOYD_TRY(lloyd_report_convergence(r));
    LLOYD_TRY(lloyd_report_sizes(r));
    lloyd_report_distances(r);
    lloyd_report_clusters(r);
    LLOYD_TRY(lloyd_report_timing(r));
    LLOYD_TRY(lloyd_report_provenance(r));
    fputs("</main></body></html>\n", r->out);
    return LLOYD_OK;
}

static lloyd_status compose(lloyd_report_content *r, char **page, size_t *bytes)
{
    r->out = open_memstream(page, bytes);
    if (r->out == NULL) return lloyd_fail(LLOYD_FAILED, "no memory for the page");
    lloyd_status status = write_page(r);
    int failed = ferror(r->out);
    if (fclose(r->out) != 0 || failed)
        return status != LLOYD_OK ? status : lloyd_fail(LLOYD_FAILED, "no memory for the page");
    return status;
}

static lloyd_status write_output(const lloyd_output *output, const char *page, size_t bytes)
{
    lloyd_status status = lloyd_output_text(output, page, bytes);
    if (status == LLOYD_OK) status = lloyd_output_commit(output);
    if (status != LLOYD_OK) lloyd_output_discard(output);
    return status;
}

/* That the page replaces nothing that is read. */
static lloyd_status check_paths(const lloyd_report_content *r)
{
    lloyd_guard guard = {.items = NULL};
    lloyd_status status = lloyd_guard_read_model(&guard, r->options->model);
    if (status == LLOYD_OK) status = lloyd_guard_read(&guard, "the log", r->log_path);
    if (status == LLOYD_OK) status = lloyd_guard_write(&guard, "--output", r->options->output);
    if (status == LLOYD_OK) status = lloyd_guard_check(&guard);
    lloyd_guard_free(&guard);
    return status;
}

static lloyd_status compose_and_write(lloyd_report_content *r, const lloyd_output *output)
{
    char *page = NULL;
    size_t bytes = 0;
    lloyd_status status = compose(r, &page, &bytes);
    if (status == LLOYD_OK) status = write_output(output, page, bytes);
    free(page);
    return status;
}

static lloyd_status make_report(lloyd_report_content *r)
{
    const lloyd_report_options *o = r->options;
    lloyd_output output;
    if (o->model == NULL || o->output == NULL || *o->output == '\0')
        return lloyd_fail(LLOYD_USAGE, "a report needs a model and the name of its output");
    LLOYD_TRY(lloyd_model_read_about(o->model, &r->model));
    LLOYD_TRY(open_log(r));
    LLOYD_TRY(check_paths(r));
    LLOYD_TRY(lloyd_spread_read(o->model, &r->model, &r->spread));
    LLOYD_TRY(lloyd_output_open(o->output, o->force, &output));
    lloyd_status status = lloyd_output_tidy(&output);
    if (status == LLOYD_OK) status = compose_and_write(r, &output);
    lloyd_output_close(&output);
    return status;
}

/* Numbers in the page and in the log have points, whatever the caller's locale says. */
static lloyd_status report_model(const lloyd_report_options *options)
{
    lloyd_report_content r = {.options = options};
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0) return lloyd_fail(LLOYD_FAILED, "no memory for a report");
    locale_t callers = uselocale(plain);
    lloyd_status status = make_report(&r);
    uselocale(callers);
    freelocale(plain);
    lloyd_runlog_free(&r.log);
    lloyd_spread_free(&r.spread);
    lloyd_model_free(&r.model);
    free(r.log_path);
    return status;
}

lloyd_status lloyd_report(lloyd_comm *comm, const lloyd_report_options *options)
{
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, "report");
    lloyd_agreement_option(&agreement, "the model", options->model);
    lloyd_status status = lloyd_options_agreement(LLOYD_COMMAND_REPORT, options, &agreement);
    LLOYD_TRY(lloyd_agreement_compare(comm, status, &agreement, &lloyd_differing_options));
    return comm->agree(comm, comm->rank == 0 ? report_model(options) : LLOYD_OK);
}
