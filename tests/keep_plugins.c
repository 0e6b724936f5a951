/* Linked into the programs of sanitizer builds: plugins of Open MPI stay loaded.
 *
 * LeakSanitizer looks at the end, when Open MPI has unloaded its plugins: what they keep then counts as lost, and their frames
 * have no names that a suppression could match. This dlclose() takes the place of the C library's for the whole process.
 */
#include <dlfcn.h>

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
