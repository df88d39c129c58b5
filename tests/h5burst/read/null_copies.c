/* Preloaded: a copy from or to no address, of no bytes, too, ends the process where the parser asks for it. C leaves it
   undefined, and a sanitizer stops at it; tests/sanitize.sh finds many more kinds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

void abort(void);
char *strstr(const char *, const char *);
void *memmove(void *, const void *, size_t);

void *memcpy(void *to, const void *from, size_t size) {
    Dl_info caller;
    if ((!to || !from) && dladdr(__builtin_return_address(0), &caller) && caller.dli_fname &&
        strstr(caller.dli_fname, "h5parse"))
        abort();
    return memmove(to, from, size);
}
