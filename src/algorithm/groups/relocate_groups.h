/* What becomes of empty clusters in groups of rows. */
#ifndef LLOYD_GROUPS_RELOCATE_GROUPS_H
#define LLOYD_GROUPS_RELOCATE_GROUPS_H

#include "algorithm/groups/groups.h"

/* Gives empty clusters, in increasing order, rows of their groups, of those that are active. */
lloyd_status lloyd_grouped_relocate(lloyd_grouped *grouped, const int32_t *empty, int64_t count);

#endif
