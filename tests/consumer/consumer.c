/* The public API from C: clusters a file and prints the inertia.
 *
 *     consumer DATA.h5 MODEL.h5
 */
#include <lloyd/lloyd.h>

#include <stdio.h>

static lloyd_status cluster(lloyd_comm *comm, const char *input, const char *output)
{
    lloyd_fit_options options;
    lloyd_fit_defaults(&options);
    options.inputs = &input;
    options.input_count = 1;
    options.k = 10;
    options.output = output;
    options.max_iters = 5;
    options.progress = "none";

    lloyd_fit_result result;
    LLOYD_TRY(lloyd_fit(comm, &options, &result));
    printf("rows %lld iterations %lld inertia %.17g\n", (long long)result.n,
           (long long)result.iterations, result.inertia);
    return result.inertia < result.first_inertia
               ? LLOYD_OK
               : lloyd_fail(LLOYD_FAILED, "the inertia did not fall");
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: consumer DATA.h5 MODEL.h5\n");
        return LLOYD_USAGE;
    }
    lloyd_comm *comm = NULL;
    lloyd_status status = lloyd_comm_open_self(&comm);
    if (status == LLOYD_OK) {
        status = cluster(comm, argv[1], argv[2]);
        lloyd_comm_close(comm);
    }
    if (status != LLOYD_OK) fprintf(stderr, "consumer: %s\n", lloyd_message());
    return status;
}
