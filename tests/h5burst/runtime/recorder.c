/* recorder.c — preloaded into a process under test: what it does to the files below a directory goes into a trace.
 *
 * record_begin(directory, trace) and record_end(). A trace is a sequence of records: 8-byte numbers kind, inode, offset and
 * length, then `length` bytes (of a "t", none). Kinds: 'w' bytes at an offset; 't' another length (in offset); 's' a flush of
 * a file, 'S' of a directory (inode 0); 'c' a new file, 'u' a name that is gone, 'r' and 'l' one that leads to the inode now
 * (from, then to, ended by zeros; 'l' keeps the first), all by the names in their directory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char watched[4096];
static int trace = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void put(const void *data, size_t size) {
    const char *at = data;
    while (size) {
        ssize_t done = syscall(SYS_write, trace, at, size);
        if (done <= 0) abort();
        at += done;
        size -= (size_t)done;
    }
}

static void note(char kind, uint64_t inode, uint64_t offset, const void *data, uint64_t length) {
    uint64_t head[4] = {(uint64_t)kind, inode, offset, length};
    put(head, sizeof head);
    if (length) put(data, length);
}

void record_begin(const char *directory, const char *path) {
    trace = (int)syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    strncpy(watched, directory, sizeof watched - 1);
}

void record_end(void) { watched[0] = 0; }

static int concerns_path(const char *path) { return watched[0] && !strncmp(path, watched, strlen(watched)); }

static int concerns(int fd) {
    char link[64], path[4096];
    if (!watched[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return concerns_path(path);
}

static uint64_t inode_of(int fd) {
    struct stat status;
    return fstat(fd, &status) ? 0 : (uint64_t)status.st_ino;
}

static uint64_t inode_at(const char *path) {
    struct stat status;
    return stat(path, &status) ? 0 : (uint64_t)status.st_ino;
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static ssize_t written(int fd, const void *data, ssize_t size, off_t offset) {
    if (size > 0) note('w', inode_of(fd), (uint64_t)offset, data, (uint64_t)size);
    return size;
}

#define LOCKED(type, expression)         \
    pthread_mutex_lock(&lock);           \
    type result = (expression);          \
    int kept = errno;                    \
    pthread_mutex_unlock(&lock);         \
    errno = kept;                        \
    return result

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    if (!concerns(fd)) return real(fd, data, size);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    LOCKED(ssize_t, written(fd, data, real(fd, data, size), offset));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    REAL(pwrite);
    if (!concerns(fd)) return real(fd, data, size, offset);
    LOCKED(ssize_t, written(fd, data, real(fd, data, size, offset), offset));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL(pwrite64);
    if (!concerns(fd)) return real(fd, data, size, offset);
    LOCKED(ssize_t, written(fd, data, real(fd, data, size, offset), offset));
}

static ssize_t all_written(int fd, const struct iovec *parts, int count, ssize_t size, off_t offset) {
    ssize_t left = size;
    for (int i = 0; i < count && left > 0; i++) {
        ssize_t part = left < (ssize_t)parts[i].iov_len ? left : (ssize_t)parts[i].iov_len;
        written(fd, parts[i].iov_base, part, offset);
        offset += part;
        left -= part;
    }
    return size;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    if (!concerns(fd)) return real(fd, parts, count);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    LOCKED(ssize_t, all_written(fd, parts, count, real(fd, parts, count), offset));
}

static int flushed(int fd) {
    struct stat status;
    int is_directory = !fstat(fd, &status) && S_ISDIR(status.st_mode);
    note(is_directory ? 'S' : 's', is_directory ? 0 : (uint64_t)status.st_ino, 0, NULL, 0);
    return 0;
}

int fsync(int fd) {
    REAL(fsync);
    if (!concerns(fd)) return real(fd);
    LOCKED(int, flushed(fd));
}

int fdatasync(int fd) {
    REAL(fdatasync);
    if (!concerns(fd)) return real(fd);
    LOCKED(int, flushed(fd));
}

static int resized(int fd, int failed, uint64_t size) {
    if (!failed) note('t', inode_of(fd), size, NULL, 0);
    return failed;
}

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    if (!concerns(fd)) return real(fd, size);
    LOCKED(int, resized(fd, real(fd, size), (uint64_t)size));
}

int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    if (!concerns(fd)) return real(fd, size);
    LOCKED(int, resized(fd, real(fd, size), (uint64_t)size));
}

static int moved(char kind, int failed, const char *from, const char *to) {
    char names[8192];
    if (failed) return failed;
    int length = snprintf(names, sizeof names, "%s%c%s%c", name_of(from), 0, name_of(to), 0);
    note(kind, inode_at(to), 0, names, (uint64_t)length);
    return 0;
}

int rename(const char *from, const char *to) {
    REAL(rename);
    if (!concerns_path(to)) return real(from, to);
    LOCKED(int, moved('r', real(from, to), from, to));
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    REAL(renameat);
    if (!concerns_path(to)) return real(from_fd, from, to_fd, to);
    LOCKED(int, moved('r', real(from_fd, from, to_fd, to), from, to));
}

int link(const char *from, const char *to) {
    REAL(link);
    if (!concerns_path(to)) return real(from, to);
    LOCKED(int, moved('l', real(from, to), from, to));
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
    REAL(linkat);
    if (!concerns_path(to)) return real(from_fd, from, to_fd, to, flags);
    LOCKED(int, moved('l', real(from_fd, from, to_fd, to, flags), from, to));
}

static int removed(int failed, const char *path) {
    if (!failed) note('u', 0, 0, name_of(path), strlen(name_of(path)));
    return failed;
}

int unlink(const char *path) {
    REAL(unlink);
    if (!concerns_path(path)) return real(path);
    LOCKED(int, removed(real(path), path));
}

static int opened(int fd, int was_there, const char *path, int flags) {
    if (fd < 0) return fd;
    if (!was_there) note('c', inode_of(fd), 0, name_of(path), strlen(name_of(path)));
    else if (flags & O_TRUNC) note('t', inode_of(fd), 0, NULL, 0);
    return fd;
}

#define OPEN(name)                                                                             \
    int name(const char *path, int flags, ...) {                                               \
        va_list rest;                                                                          \
        va_start(rest, flags);                                                                 \
        mode_t mode = flags & O_CREAT ? (mode_t)va_arg(rest, int) : 0;                         \
        va_end(rest);                                                                          \
        REAL(name);                                                                            \
        if (!concerns_path(path) || !(flags & (O_CREAT | O_TRUNC))) return real(path, flags, mode); \
        int was_there = inode_at(path) != 0;                                                   \
        LOCKED(int, opened(real(path, flags, mode), was_there, path, flags));                  \
    }

OPEN(open)
OPEN(open64)
