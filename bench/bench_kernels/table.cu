#include "table.cuh"

#include <cmath>

namespace benchmarks
{

namespace
{

void print_number(int width, int digits, double value)
{
    if (std::isnan(value))
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, digits, value);
}

double mean_of(const std::vector<double> &values)
{
    double sum = 0;
    for (double value : values) sum += value;
    return values.empty() ? NAN : sum / (double)values.size();
}

/* Without the folder of a file: for JSON, a name is assumed to need no escapes. */
std::string name_of_rows(const options &o)
{
    if (o.mixture > 0) return "mixture of " + std::to_string(o.mixture) + " clusters";
    if (!o.rows) return "Gaussian";
    const std::string path = o.rows;
    return path.substr(path.find_last_of('/') + 1);
}

void json_number(FILE *file, const char *name, double value)
{
    if (std::isnan(value))
        fprintf(file, ", \"%s\": null", name);
    else
        fprintf(file, ", \"%s\": %.6g", name, value);
}

} // namespace

void print_header(const options &o)
{
    printf("rows: %s; later: the iteration after %d others\n", name_of_rows(o).c_str(), o.after);
    printf(
        "%-8s %9s %6s %5s | %9s %7s %9s %7s %9s %8s | %9s %7s %9s %9s | %9s %9s %8s | %9s %9s %7s %9s "
        "%8s %6s %6s %7s %9s | %6s\n",
        "type", "N", "K", "D", "assign ms", "TFLOP/s", "filter ms", "TFLOP/s", "verify ms",
        "verify %", "update ms", "GB/s", "sort ms", "means ms", "iter ms", "wall ms", "verify %",
        "later ms", "filter ms", "TOP/s", "verify ms", "proved %", "int8 %", "cands", "moved %",
        "update ms", "#wrong");
}

void print_row(lloyd_type type, const shape &s, const figures &f)
{
    double work = 2e-9 * (double)s.n * (double)s.k * (double)s.d;
    double megabytes = 1e-6 * (double)s.n * (double)s.d * (double)lloyd_type_size(type);
    printf("%-8s %9lld %6lld %5lld |", lloyd_type_name(type), (long long)s.n, (long long)s.k,
           (long long)s.d);
    print_number(9, 4, f.assign);
    print_number(7, 1, work / f.assign);
    print_number(9, 4, f.filter);
    print_number(7, 1, work / f.filter);
    print_number(9, 4, f.verify);
    print_number(8, 3, 100 * f.verified);
    printf(" |");
    print_number(9, 4, f.update);
    print_number(7, 0, megabytes / f.update);
    print_number(9, 4, f.sort);
    print_number(9, 4, f.means);
    printf(" |");
    print_number(9, 4, f.iteration);
    print_number(9, 4, f.wall);
    print_number(8, 3, 100 * mean_of(f.verified_of_iteration));
    printf(" |");
    print_number(9, 4, f.later);
    print_number(9, 4, f.later_filter);
    print_number(7, 1, work / f.later_filter);
    print_number(9, 4, f.later_verify);
    print_number(8, 3, 100 * f.later_proved);
    print_number(6, 1, 100 * f.later_int8);
    print_number(6, 1, f.later_candidates);
    print_number(7, 2, 100 * f.later_moved);
    print_number(9, 4, f.later_update);
    printf(" | %6lld\n", (long long)f.wrong);
    fflush(stdout);
}

void json_row(const options &o, lloyd_type type, const shape &s, const figures &f)
{
    FILE *file = o.json;
    double work = 2e-9 * (double)s.n * (double)s.k * (double)s.d;
    double megabytes = 1e-6 * (double)s.n * (double)s.d * (double)lloyd_type_size(type);
    fprintf(file, "{\"what\": \"shape\", \"type\": \"%s\", \"n\": %lld, \"k\": %lld, \"d\": %lld",
            lloyd_type_name(type), (long long)s.n, (long long)s.k, (long long)s.d);
    fprintf(file, ", \"rows\": \"%s\", \"after\": %d", name_of_rows(o).c_str(), o.after);
    json_number(file, "assign_ms", f.assign);
    json_number(file, "assign_tflops", work / f.assign);
    json_number(file, "filter_ms", f.filter);
    json_number(file, "filter_tflops", work / f.filter);
    json_number(file, "verify_ms", f.verify);
    json_number(file, "verified", f.verified);
    json_number(file, "update_ms", f.update);
    json_number(file, "update_gbs", megabytes / f.update);
    json_number(file, "sort_ms", f.sort);
    json_number(file, "means_ms", f.means);
    json_number(file, "iteration_ms", f.iteration);
    json_number(file, "iteration_wall_ms", f.wall);
    json_number(file, "later_ms", f.later);
    json_number(file, "later_filter_ms", f.later_filter);
    json_number(file, "later_filter_tops", work / f.later_filter);
    json_number(file, "later_verify_ms", f.later_verify);
    json_number(file, "later_proved", f.later_proved);
    json_number(file, "later_int8", f.later_int8);
    json_number(file, "later_candidates", f.later_candidates);
    json_number(file, "later_moved", f.later_moved);
    json_number(file, "later_update_ms", f.later_update);
    json_number(file, "measured_float16_row_ns", f.measured_float16);
    json_number(file, "measured_int8_row_ns", f.measured_int8);
    json_number(file, "run_s", f.run);
    fprintf(file, ", \"verified_of_iteration\": [");
    for (size_t t = 0; t < f.verified_of_iteration.size(); t++)
        fprintf(file, "%s%.6g", t > 0 ? ", " : "", f.verified_of_iteration[t]);
    fprintf(file, "], \"wrong\": %lld}\n", (long long)f.wrong);
    fflush(file);
}

} // namespace benchmarks
