/* faults.c — preloaded into a process under test: file operations below a watched directory fail, or end the process.
 *
 * fault_arm(directory, kind, at, error): from now on, count the operations on files below `directory` that change anything;
 * operation number `at` (from 0) meets its fate. fault_count() says how many there were.
 *
 * File systems of other kinds, by the environment: FAULT_FLOCK=enosys refuses every lock as a call that is not there,
 * FAULT_FLOCK=granted grants every lock to everybody; FAULT_LINK=eperm has no hard links.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, KILL, TORN, FAIL, SHORT, INTERRUPT };

static char watched[4096];
static int kind = NOTHING, error_number;
static long at = -1, count;

void fault_arm(const char *directory, int new_kind, long new_at, int new_error) {
    strncpy(watched, directory, sizeof watched - 1);
    kind = new_kind;
    at = new_at;
    error_number = new_error;
    count = 0;
}

long fault_count(void) { return count; }

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

/* Signals interrupt writes and flushes; a rename, or a truncation, no file system here lets them.
 * Whether the operation that is about to happen shall fail; ends the process where that is its fate. */
static int fate(int interruptible) {
    long now = count++;
    if (kind == INTERRUPT && interruptible && now % 2 == 0) {
        errno = EINTR;
        return 1;
    }
    if (now != at) return 0;
    if (kind == KILL) kill(getpid(), SIGKILL);
    if (kind != FAIL) return 0;
    errno = error_number;
    return 1;
}

/* How much of a write happens: half of the one that is torn, at most 1000 bytes (or one) of short ones. */
static size_t part(size_t size) {
    if (kind == SHORT) return size > 1000 ? 1000 : size > 1 ? size / 2 : size;
    return kind == TORN && count == at + 1 ? size / 2 : size;
}

static ssize_t after(ssize_t written) {
    if (kind == TORN && count == at + 1) kill(getpid(), SIGKILL);
    return written;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    if (!concerns(fd)) return real(fd, data, size);
    if (fate(1)) return -1;
    return after(real(fd, data, part(size)));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    REAL(pwrite);
    if (!concerns(fd)) return real(fd, data, size, offset);
    if (fate(1)) return -1;
    return after(real(fd, data, part(size), offset));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL(pwrite64);
    if (!concerns(fd)) return real(fd, data, size, offset);
    if (fate(1)) return -1;
    return after(real(fd, data, part(size), offset));
}

ssize_t writev(int fd, const struct iovec *parts, int parts_count) {
    REAL(writev);
    if (!concerns(fd)) return real(fd, parts, parts_count);
    if (fate(1)) return -1;
    if (kind == SHORT || (kind == TORN && count == at + 1)) {
        struct iovec first = parts[0];
        first.iov_len = part(first.iov_len);
        return after(real(fd, &first, 1));
    }
    return real(fd, parts, parts_count);
}

#define ONE_FD(name, declaration, call)                 \
    int name declaration {                              \
        REAL(name);                                     \
        if (concerns(fd) && fate(!strstr(#name, "trunc"))) return -1;         \
        return real call;                               \
    }

ONE_FD(fsync, (int fd), (fd))
ONE_FD(fdatasync, (int fd), (fd))
ONE_FD(ftruncate, (int fd, off_t size), (fd, size))
ONE_FD(ftruncate64, (int fd, off64_t size), (fd, size))
ONE_FD(fchmod, (int fd, mode_t mode), (fd, mode))

int rename(const char *from, const char *to) {
    REAL(rename);
    if (concerns_path(to) && fate(0)) return -1;
    return real(from, to);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    REAL(renameat);
    if (concerns_path(to) && fate(0)) return -1;
    return real(from_fd, from, to_fd, to);
}

static int link_fate(const char *to) {
    const char *links = getenv("FAULT_LINK");
    if (links && !strcmp(links, "eperm")) {
        errno = EPERM;
        return 1;
    }
    return concerns_path(to) && fate(0);
}

int link(const char *from, const char *to) {
    REAL(link);
    return link_fate(to) ? -1 : real(from, to);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
    REAL(linkat);
    return link_fate(to) ? -1 : real(from_fd, from, to_fd, to, flags);
}

int flock(int fd, int operation) {
    const char *locks = getenv("FAULT_FLOCK");
    REAL(flock);
    if (!locks) return real(fd, operation);
    if (!strcmp(locks, "granted")) return 0;
    errno = ENOSYS;
    return -1;
}

#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...) {                          \
        va_list rest;                                                     \
        va_start(rest, flags);                                            \
        mode_t mode = flags & O_CREAT ? (mode_t)va_arg(rest, int) : 0;    \
        va_end(rest);                                                     \
        REAL(name);                                                       \
        if (concerns_path(path) && (flags & O_CREAT) && fate(0)) return -1; \
        return real(path, flags, mode);                                   \
    }

OPEN(open)
OPEN(open64)
