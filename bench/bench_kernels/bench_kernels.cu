/* Times the CUDA kernels through kernels.h, shape by shape, and checks while it times: every
 * row has a column #wrong, and the same process measures what the machine gives to cuBLAS, to a
 * plain copy and to CUB's sort.
 *
 *     bench_kernels [--shapes N,K,D[;...]] [--types float16,float32] [--repeat 7] [--cool SECONDS]
 *                   [--only PART[,...]] [--filter auto] [--rows FILE [--jitter 1] | --mixture C] [--fill]
 *                   [--after 2] [--prune auto] [--iterations 60] [--dump FOLDER] [--device 0] [--json FILE]
 *
 * Rows are Gaussian, or a mixture, or those of a file, as stored, row after row, repeated with noise where the
 * shape has more (rows.cu); the first centroids are rows. Times are medians of CUDA events in milliseconds.
 * A benchmark is a file of this folder and a row of the table below.
 */
#include "bench.cuh"
#include "data.cuh"
#include "definition.cuh"
#include "dump.cuh"
#include "table.cuh"
#include "timing.cuh"

#include <getopt.h>

#include <cstdio>
#include <cstdlib>
#include <iterator>

using namespace benchmarks;

namespace
{

/* In the order in which they run. Those of shapes share the rows of a shape and a row of the table. */
const benchmark *const table[] = {&limits_benchmark,    &assign_benchmark, &update_benchmark,
                                  &iteration_benchmark, &later_benchmark,  &run_benchmark,
                                  &allreduce_benchmark};

const int64_t Mi = 1 << 20;

const std::vector<shape> default_shapes = {{Mi, 1024, 128},      {8 * Mi, 1024, 128},
                                           {Mi, 8192, 128},      {Mi, 65536, 128},
                                           {4 * Mi, 4096, 128},  {Mi, 4096, 64},
                                           {Mi, 4096, 96},       {Mi, 4096, 256},
                                           {Mi, 4096, 384},      {Mi, 4096, 768},
                                           {Mi / 4, 4096, 1536}, {16 * Mi, 256, 32}};

std::vector<std::string> split(const std::string &text, char separator)
{
    std::vector<std::string> parts;
    size_t begin = 0;
    for (size_t end; (end = text.find(separator, begin)) != std::string::npos; begin = end + 1)
        parts.push_back(text.substr(begin, end - begin));
    parts.push_back(text.substr(begin));
    return parts;
}

bool parse_shapes(const std::string &text, std::vector<shape> *shapes)
{
    for (const std::string &one : split(text, ';')) {
        long long n, k, d;
        int used = 0;
        if (sscanf(one.c_str(), "%lld,%lld,%lld%n", &n, &k, &d, &used) != 3 ||
            (size_t)used != one.size())
            return false;
        shapes->push_back({n, k, d});
    }
    return true;
}

bool parse_types(const std::string &text, std::vector<lloyd_type> *types)
{
    types->clear();
    for (const std::string &name : split(text, ',')) {
        size_t before = types->size();
        for (lloyd_type type : {LLOYD_F32, LLOYD_F16, LLOYD_BF16, LLOYD_U8, LLOYD_I8}) {
            if (name == lloyd_type_name(type) || name == "all") types->push_back(type);
        }
        if (types->size() == before) return false;
    }
    return true;
}

bool parse_parts(const std::string &text, std::set<std::string> *only)
{
    for (const std::string &name : split(text, ',')) {
        auto is_named = [&](const benchmark *one) { return name == one->name; };
        if (std::none_of(std::begin(table), std::end(table), is_named)) return false;
        only->insert(name);
    }
    return true;
}

bool parse_filter(const std::string &name, lloyd_filter *filter)
{
    if (name == "auto")
        *filter = LLOYD_FILTER_AUTO;
    else if (name == "int8")
        *filter = LLOYD_FILTER_INT8;
    else if (name == "float16")
        *filter = LLOYD_FILTER_FLOAT;
    else
        return false;
    return true;
}

bool parse_prune(const std::string &name, lloyd_prune *prune)
{
    if (name == "auto")
        *prune = LLOYD_PRUNE_AUTO;
    else if (name == "on")
        *prune = LLOYD_PRUNE_ON;
    else if (name == "off")
        *prune = LLOYD_PRUNE_OFF;
    else
        return false;
    return true;
}

bool parse_option(int letter, const char *value, options *o)
{
    switch (letter) {
    case 's': return parse_shapes(value, &o->shapes);
    case 't': return parse_types(value, &o->types);
    case 'o': return parse_parts(value, &o->only);
    case 'r': return (o->repeat = atoi(value)) > 0;
    case 'c': return (o->cool = atof(value)) >= 0;
    case 'w': return (o->override = value) != nullptr;
    case 'd': return (o->device = atoi(value)) >= 0;
    case 'F': return parse_filter(value, &o->filter);
    case 'P': return parse_prune(value, &o->prune);
    case 'i': return (o->iterations = atoi(value)) > 0;
    case 'f': return (o->rows = value) != nullptr;
    case 'n': return (o->jitter = atof(value)) >= 0;
    case 'm': return (o->mixture = atoll(value)) > 0;
    case 'a': return (o->after = atoi(value)) >= 0;
    case 'u': return (o->dump = value) != nullptr;
    case 'v': return (o->fill = true);
    case 'j': return (o->json = fopen(value, "w")) != nullptr;
    default: return false;
    }
}

const char usage[] =
    "usage: bench_kernels [--shapes N,K,D[;...]] [--types TYPE[,...]] [--only PART[,...]]\n"
    "                     [--repeat R] [--cool SECONDS] [--override NAME[,...]] [--filter FILTER]\n"
    "                     [--rows FILE [--jitter J] | --mixture C] [--fill] [--after I] [--dump FOLDER]\n"
    "                     [--prune PRUNE] [--iterations I] [--device I] [--json FILE]\n"
    "  types: float32, float16, bfloat16, uint8, int8, all; float16,float32 if not given\n"
    "  cool:  seconds without work before the measurements of each shape\n"
    "  override: an assignment kernel, where it supports the shape (sm80, sm90, ...), or another choice:\n"
    "         other-pruning, other-sort (of few clusters, as of many), fallback-pass (also for few rows),\n"
    "         sorted-sums (of few clusters too), moved-sums, prune, small-shared (memory, as of older GPUs)\n"
    "  filter: auto, int8 or float16: the kernels choose, or always use this one where they have it\n"
    "  prune: auto, on or off: whether iterations leave out what bounds rule out\n"
    "  iterations: of the part \"run\", which is done only where --only names it; 60 if not given\n"
    "  rows:  a raw file of rows, of one type; Gaussian rows if not given. A shape with more rows than the\n"
    "         file repeats them, with noise from the second time on\n"
    "  jitter: of this noise, 1 if not given: bytes differ by at most J; floats by Gaussian noise of\n"
    "         J / 50 times the root mean square of the file's elements\n"
    "  mixture: rows of so many overlapping, elongated clusters of different sizes\n"
    "  fill:  one element of float32 rows is 9.97e36, so that its column has six digits\n"
    "  after: the iterations before the one that the part \"later\" measures; 2 if not given\n"
    "  dump:  an existing folder for rows-TYPE-NxD.npy and centroids-TYPE-NxD-K.npy, the rows and first\n"
    "         centroids of each shape\n"
    "  json:  one line per shape\n";

void print_usage(FILE *file)
{
    fputs(usage, file);
    fputs("  parts: all if not given\n", file);
    for (const benchmark *one : table) fprintf(file, "         %-10s %s\n", one->name, one->help);
}

bool parse(int argc, char **argv, options *o)
{
    const option names[] = {{"shapes", required_argument, nullptr, 's'},
                            {"types", required_argument, nullptr, 't'},
                            {"only", required_argument, nullptr, 'o'},
                            {"repeat", required_argument, nullptr, 'r'},
                            {"cool", required_argument, nullptr, 'c'},
                            {"override", required_argument, nullptr, 'w'},
                            {"filter", required_argument, nullptr, 'F'},
                            {"prune", required_argument, nullptr, 'P'},
                            {"iterations", required_argument, nullptr, 'i'},
                            {"rows", required_argument, nullptr, 'f'},
                            {"jitter", required_argument, nullptr, 'n'},
                            {"mixture", required_argument, nullptr, 'm'},
                            {"after", required_argument, nullptr, 'a'},
                            {"dump", required_argument, nullptr, 'u'},
                            {"device", required_argument, nullptr, 'd'},
                            {"json", required_argument, nullptr, 'j'},
                            {"fill", no_argument, nullptr, 'v'},
                            {"help", no_argument, nullptr, 'h'},
                            {nullptr, 0, nullptr, 0}};
    int letter;
    while ((letter = getopt_long(argc, argv, "", names, nullptr)) != -1) {
        if (letter == '?') return false;
        if (letter == 'h') {
            print_usage(stdout);
            exit(0);
        }
        if (!parse_option(letter, optarg, o)) {
            fprintf(stderr, "bench_kernels: cannot use \"%s\"\n", optarg);
            return false;
        }
    }
    if (o->shapes.empty()) o->shapes = default_shapes;
    if (o->rows && o->mixture > 0) {
        fprintf(stderr, "bench_kernels: --rows and --mixture exclude each other\n");
        return false;
    }
    return optind == argc;
}

lloyd_status measure_shape(const options &o, lloyd_type type, const shape &size, figures *out)
{
    bench b;
    b.size = size;
    b.type = type;
    LLOYD_TRY(prepare(&b, o));
    if (o.dump) LLOYD_TRY(dump(b, o.dump));
    LLOYD_TRY(restart(b));
    LLOYD_TRY(check(b, true, out));
    idle(o.cool);
    for (const benchmark *one : table) {
        if (one->named_only && o.only.empty()) continue;
        if (one->run_shape && o.wants(one->name)) LLOYD_TRY(one->run_shape(b, o, out));
    }
    return LLOYD_OK;
}

/* A shape that fails is reported, and the next one is measured. */
int measure_shapes(const options &o)
{
    int failures = 0;
    print_header(o);
    for (lloyd_type type : o.types) {
        for (const shape &s : o.shapes) {
            figures f;
            if (measure_shape(o, type, s, &f) != LLOYD_OK) {
                fprintf(stderr, "bench_kernels: %s %lld x %lld, K = %lld: %s\n",
                        lloyd_type_name(type), (long long)s.n, (long long)s.d, (long long)s.k,
                        lloyd_message());
                failures++;
                continue;
            }
            print_row(type, s, f);
            if (o.json) json_row(o, type, s, f);
            failures += f.wrong > 0;
        }
    }
    return failures;
}

int report(lloyd_status status)
{
    if (status == LLOYD_OK) return 0;
    fprintf(stderr, "bench_kernels: %s\n", lloyd_message());
    return 1;
}

/* Benchmarks that run once, and all of those of shapes where the first of them is. */
int run(const options &o)
{
    int failures = 0;
    bool shapes_measured = false;
    for (const benchmark *one : table) {
        int64_t wrong = 0;
        if (!o.wants(one->name)) continue;
        if (one->run_once) {
            failures += report(one->run_once(o, &wrong));
            failures += wrong > 0;
        } else if (!shapes_measured) {
            failures += measure_shapes(o);
            shapes_measured = true;
        }
    }
    return failures;
}

} // namespace

int main(int argc, char **argv)
{
    (void)setenv("CUDA_MODULE_LOADING", "EAGER", 0); /* as the program does */
    options o;
    if (!parse(argc, argv, &o)) {
        print_usage(stderr);
        return 2;
    }
    int failures = report(lloyd_cuda_check(cudaSetDevice(o.device), "choosing the device"));
    if (failures == 0) failures = run(o);
    if (o.json) fclose(o.json);
    return failures > 0;
}
