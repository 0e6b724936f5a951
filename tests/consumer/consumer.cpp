// The public API from C++: the header compiles, the names link, the defaults are those of the command line.
#include <lloyd.h>

#include <cstring>
#include <iostream>

int main()
{
    lloyd_fit_options options;
    lloyd_fit_defaults(&options);
    const bool good = options.max_iters == 25 && options.seed == 0 && options.tol == 0 &&
                      std::strcmp(options.init, "random") == 0;
    std::cout << "lloyd " << LLOYD_VERSION << " from C++: " << (good ? "good" : "unexpected defaults")
              << '\n';
    return good ? 0 : 1;
}
