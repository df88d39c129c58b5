/* preallocate.h — disk space for bytes that are about to be written. */
#ifndef H5BURST_PREALLOCATE_H
#define H5BURST_PREALLOCATE_H

#include <stdint.h>

#ifdef __linux__
#include <errno.h>
#include <fcntl.h> /* fallocate, because Python.h asks for GNU's functions */

/* 0, or an errno. The file keeps its size. Unlike posix_fallocate it never writes zeros where it is not supported. */
static int preallocate(int descriptor, uint64_t offset, uint64_t length)
{
    int failed;
    do
        failed = fallocate(descriptor, 0x01 /* FALLOC_FL_KEEP_SIZE */, (off_t)offset, (off_t)length);
    while (failed && errno == EINTR);
    return failed ? errno : 0;
}
#else
static int preallocate(int descriptor, uint64_t offset, uint64_t length)
{
    (void)descriptor, (void)offset, (void)length;
    return -1;
}
#endif

#endif
