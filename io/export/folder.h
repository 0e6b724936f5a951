/* The folder that arrays are exported to. It is made under another name beside the target and renamed
 * when it is complete, so nobody sees half of it; an older one is there until then. Private to io/. */
#ifndef LLOYD_EXPORT_FOLDER_H
#define LLOYD_EXPORT_FOLDER_H

#include "base/status.h"
#include "io/writers/output.h"

/* The file in which an export says what it is. */
#define LLOYD_EXPORT_ABOUT "export.json"
#define LLOYD_EXPORT_MARK "{\"lloyd\": \"export\""

/* Names the folder for `path`, and checks what is there: nothing, an empty folder or an export of lloyd
 * may be replaced; with `force` a folder with files of such names, from whomever. LLOYD_USAGE else: a
 * folder with other files never is. Writes nothing. Close with lloyd_output_close(). */
lloyd_status lloyd_export_folder_open(const char *path, int force, lloyd_output *folder);

/* Makes the partial folder. */
lloyd_status lloyd_export_folder_create(const lloyd_output *folder);

/* Syncs it, puts it in the place of the target, and removes what was there. */
lloyd_status lloyd_export_folder_commit(const lloyd_output *folder);

/* Removes the partial folder if it is there. */
void lloyd_export_folder_discard(const lloyd_output *folder);

#endif
