// The public API from C++: the headers compile, the names link, the defaults are those of the command line, rows in
// memory are clustered.
#include <lloyd_mpi.h>

#include <cstring>
#include <iostream>
#include <vector>

// Two heaps of rows on a line.
static bool cluster()
{
    const std::vector<float> values = {0, 1, 2, 100, 101, 102, 103};
    std::vector<int32_t> labels(values.size());
    std::vector<float> centroids(2);
    const std::vector<float> first = {0, 50};
    lloyd_local_rows rows = {};
    rows.data = values.data();
    rows.count = static_cast<int64_t>(values.size());
    rows.dim = 1;
    rows.type = "float32";
    lloyd_local_result out = {};
    out.centroids = centroids.data();
    out.labels = labels.data();
    lloyd_fit_options options;
    lloyd_fit_defaults(&options);
    options.k = 2;
    options.progress = "none";
    lloyd_comm *comm = nullptr;
    lloyd_status status = lloyd_comm_open_self(&comm);
    if (status == LLOYD_OK) status = lloyd_fit_rows(comm, &options, &rows, first.data(), &out, nullptr);
    lloyd_comm_close(comm);
    const std::vector<int32_t> expected = {0, 0, 0, 1, 1, 1, 1};
    return status == LLOYD_OK && labels == expected && centroids[0] == 1 && centroids[1] == 101.5F;
}

int main()
{
    lloyd_fit_options options;
    lloyd_fit_defaults(&options);
    const bool good = options.max_iters == 25 && options.seed == 0 && options.tol == 0 &&
                      std::strcmp(options.init, "kmeans-parallel") == 0;
    std::cout << "lloyd " << LLOYD_VERSION << " from C++: " << (good ? "good" : "unexpected defaults")
              << '\n';
    if (!cluster()) {
        std::cout << "wrong clusters, or none: " << lloyd_message() << '\n';
        return 1;
    }
    // MPI is not initialised, so there is no communicator; what counts is that the name links.
    lloyd_comm *none = nullptr;
    return good && lloyd_comm_open_mpi(MPI_COMM_WORLD, &none) == LLOYD_USAGE ? 0 : 1;
}
