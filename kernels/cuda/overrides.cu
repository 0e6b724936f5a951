/* Overrides by name; see overrides.h. */
#include "kernels/cuda/overrides.h"

#include "kernels/cuda/state.h"

#include <algorithm>
#include <string>

static lloyd_status set(const std::string &name, cuda_overrides *o)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"other-pruning", &o->assign.other_pruning},
                 {"fallback-pass", &o->fallback_pass},
                 {"keep-distances", &o->keep_distances},
                 {"other-sort", &o->other_sort},
                 {"sorted-sums", &o->sorted_sums},
                 {"moved-sums", &o->moved_sums},
                 {"small-shared", &o->small_shared},
                 {"prune", &o->prune}};
    for (const auto &flag : flags) {
        if (name != flag.name) continue;
        *flag.flag = true;
        return LLOYD_OK;
    }
    if (name == "int8" || name == "float16") {
        o->filter = name == "int8" ? LLOYD_FILTER_INT8 : LLOYD_FILTER_FLOAT;
        return LLOYD_OK;
    }
    o->assign.kernel = lloyd_cuda_find_assign(name.c_str());
    return o->assign.kernel
               ? LLOYD_OK
               : lloyd_fail(LLOYD_USAGE, "no kernel and no choice of the kernels is named \"%s\"",
                            name.c_str());
}

lloyd_status lloyd_cuda_override(lloyd_kernels *kernels, const char *names)
{
    cuda_overrides wanted = {};
    const std::string all = names;
    for (size_t at = 0; at < all.size();) {
        const size_t end = std::min(all.find(',', at), all.size());
        if (end > at) LLOYD_TRY(set(all.substr(at, end - at), &wanted));
        at = end + 1;
    }
    const lloyd_kernels_config *given = &lloyd_cuda(kernels)->given;
    lloyd_kernels_config *config = &kernels->config;
    lloyd_cuda(kernels)->overrides = wanted;
    config->filter = wanted.filter != LLOYD_FILTER_AUTO ? wanted.filter : given->filter;
    config->prune = given->prune;
    config->prune_group = given->prune_group;
    if (!wanted.prune) return LLOYD_OK;
    if (config->filter == LLOYD_FILTER_AUTO)
        config->filter = LLOYD_FILTER_INT8; /* for few clusters too */
    config->prune = LLOYD_PRUNE_ON;
    if (config->prune_group == 0) config->prune_group = 1;
    return LLOYD_OK;
}
