/* kept_file.h — what a path leads to, and HDF5's shared lock, asked of the system without Python between. */
#ifndef H5BURST_KEPT_FILE_H
#define H5BURST_KEPT_FILE_H

#include <stdint.h>

/* As `h5burst.read.open_file.Stamp`: the times are in nanoseconds. */
typedef struct {
    uint64_t device, inode, size;
    int64_t written, changed;
} file_stamp;

#ifdef _WIN32
/* Python asks there: its numbers for device and inode are not those of the C library. */
static int is_at_path(const char *path, const file_stamp *stamp) { (void)path; (void)stamp; return 0; }
static int take_lock(int descriptor) { (void)descriptor; return 1; }
static void take_lock_off(int descriptor) { (void)descriptor; }
#else
#include <errno.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __APPLE__
#define NANOSECONDS(status, which) \
    ((status).st_##which##timespec.tv_sec * INT64_C(1000000000) + (status).st_##which##timespec.tv_nsec)
#else
#define NANOSECONDS(status, which) \
    ((status).st_##which##tim.tv_sec * INT64_C(1000000000) + (status).st_##which##tim.tv_nsec)
#endif

/* Whether a path leads to the file with this stamp. */
static int is_at_path(const char *path, const file_stamp *stamp)
{
    struct stat status;
    return stat(path, &status) == 0 && (uint64_t)status.st_dev == stamp->device
        && (uint64_t)status.st_ino == stamp->inode && (uint64_t)status.st_size == stamp->size
        && NANOSECONDS(status, m) == stamp->written && NANOSECONDS(status, c) == stamp->changed;
}

/* Whether nobody else has the file open for writing; it is locked then, where the file system has locks. */
static int take_lock(int descriptor)
{
    return flock(descriptor, LOCK_SH | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EACCES);
}

static void take_lock_off(int descriptor) { flock(descriptor, LOCK_UN); }
#endif

#endif
