/* Paths, and whether two of them lead to one file, which need not exist. Private to io/. */
#ifndef LLOYD_IO_PATH_H
#define LLOYD_IO_PATH_H

#include "base/status.h"

#include <sys/types.h>

/* The folder of a path, "." where it names none. Free with free(); NULL without memory. */
char *lloyd_path_folder(const char *path);

/* Removes a file, or a folder with the files in it; 0, or -1 with errno. A folder that has folders in it
 * stays, without its files. */
int lloyd_path_remove(const char *path);

/* What comes after the last '/'. */
const char *lloyd_path_name(const char *path);

/* *target = `path`, or where it is a symbolic link the name that the last link leads to, whether or
 * not it exists. Free with free(). LLOYD_FAILED if the links are circular. */
lloyd_status lloyd_path_follow(const char *path, char **target);

/* The identity of a file: device and inode or, if it does not exist yet, those of its folder and
 * the name. */
typedef struct lloyd_location {
    char *target; /* as lloyd_path_follow() gives it */
    int there, folder_there;
    dev_t device, folder_device;
    ino_t file, folder;
} lloyd_location;

lloyd_status lloyd_location_of(const char *path, lloyd_location *place);
void lloyd_location_free(lloyd_location *place);

int lloyd_location_same(const lloyd_location *a, const lloyd_location *b);

/* Whether both lie in one folder. */
int lloyd_location_beside(const lloyd_location *a, const lloyd_location *b);

#endif
