/* positioned_read.h — read a run of bytes at an offset, without a file position that threads would share. */
#ifndef H5BURST_POSITIONED_READ_H
#define H5BURST_POSITIONED_READ_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#define READ_AT_END -1 /* the file ends before the run does */

#ifdef _WIN32
#include <io.h>
#include <windows.h>

static int read_at(int descriptor, uint8_t *out, size_t length, uint64_t offset)
{
    HANDLE file = (HANDLE)_get_osfhandle(descriptor);
    while (length) {
        OVERLAPPED place = {0};
        DWORD got = 0, wanted = length > (1u << 30) ? (1u << 30) : (DWORD)length;
        place.Offset = (DWORD)offset;
        place.OffsetHigh = (DWORD)(offset >> 32);
        if (!ReadFile(file, out, wanted, &got, &place))
            return GetLastError() == ERROR_HANDLE_EOF ? READ_AT_END : EIO;
        if (got == 0)
            return READ_AT_END;
        out += got;
        length -= got;
        offset += got;
    }
    return 0;
}
#else
#include <unistd.h>

/* 0, READ_AT_END, or an errno. */
static int read_at(int descriptor, uint8_t *out, size_t length, uint64_t offset)
{
    while (length) {
        ssize_t got = pread(descriptor, out, length > (1u << 30) ? (1u << 30) : length, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            return READ_AT_END;
        out += got;
        length -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}
#endif

#endif
