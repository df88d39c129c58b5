/* h5writer.h — a thread that computes checksums and writes, while the next objects are laid out.
 *
 * It is a thread of C alone: it never waits for Python's lock, which whoever lays out objects holds all the time. */
#ifndef H5BURST_WRITER_H
#define H5BURST_WRITER_H

#include "h5checksums.h"

typedef struct h5_writer h5_writer;

#ifdef _WIN32

static h5_writer *h5_writer_start(int descriptor, int level)
{
    (void)descriptor, (void)level;
    return NULL;
}

static int h5_writer_wait(h5_writer *writer) { (void)writer; return 0; }
static int h5_writer_give(h5_writer *writer, h5_bytes *bytes, h5_bytes *pending_checksums)
{
    (void)writer, (void)bytes, (void)pending_checksums;
    return 0;
}
static void h5_writer_end(h5_writer *writer) { (void)writer; }

#else

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

struct h5_writer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int descriptor, level;
    int busy, ending, error; /* error: an errno, after which nothing more is written */
    h5_bytes bytes, pending_checksums; /* the thread's own while it is busy */
};

static int h5_write_all(int descriptor, const uint8_t *bytes, size_t length)
{
    while (length) {
        ssize_t written = write(descriptor, bytes, length > (1u << 30) ? (1u << 30) : length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : EIO;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

static void *h5_writer_run(void *given)
{
    h5_writer *writer = (h5_writer *)given;
    pthread_mutex_lock(&writer->lock);
    for (;;) {
        while (!writer->busy && !writer->ending)
            pthread_cond_wait(&writer->changed, &writer->lock);
        if (!writer->busy)
            break;
        int error = writer->error;
        pthread_mutex_unlock(&writer->lock);
        if (!error) {
            h5_write_checksums(writer->level, writer->bytes.data, (h5_pending_checksum *)writer->pending_checksums.data,
                    writer->pending_checksums.length / sizeof(h5_pending_checksum));
            error = h5_write_all(writer->descriptor, writer->bytes.data, writer->bytes.length);
        }
        pthread_mutex_lock(&writer->lock);
        writer->error = error;
        writer->busy = 0;
        pthread_cond_broadcast(&writer->changed);
    }
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}

/* NULL where no thread can be had. It writes at the position of the open file. */
static h5_writer *h5_writer_start(int descriptor, int level)
{
    sigset_t all, before;
    h5_writer *writer = descriptor < 0 ? NULL : (h5_writer *)calloc(1, sizeof *writer);
    if (writer == NULL)
        return NULL;
    writer->descriptor = descriptor;
    writer->level = level;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->changed, NULL);
    sigfillset(&all); /* signals are for the threads that know what to do with them */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&writer->thread, NULL, h5_writer_run, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        return writer;
    pthread_mutex_destroy(&writer->lock);
    pthread_cond_destroy(&writer->changed);
    free(writer);
    return NULL;
}

/* Until everything that was given is written. Returns 0 or the errno of the first failure. */
static int h5_writer_wait(h5_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    while (writer->busy)
        pthread_cond_wait(&writer->changed, &writer->lock);
    int error = writer->error;
    pthread_mutex_unlock(&writer->lock);
    return error;
}

/* Hand over bytes whose checksums are missing as `pending_checksums` says; both are empty afterwards. Waits for what
 * was given before. Returns 0 or an errno, as `h5_writer_wait`. */
static int h5_writer_give(h5_writer *writer, h5_bytes *bytes, h5_bytes *pending_checksums)
{
    int error = h5_writer_wait(writer);
    if (error)
        return error;
    h5_bytes empty = writer->bytes, none = writer->pending_checksums;
    empty.length = none.length = 0;
    pthread_mutex_lock(&writer->lock);
    writer->bytes = *bytes;
    writer->pending_checksums = *pending_checksums;
    writer->busy = 1;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
    *bytes = empty;
    *pending_checksums = none;
    return 0;
}

/* Waits for what was given, ends the thread, frees everything. */
static void h5_writer_end(h5_writer *writer)
{
    if (writer == NULL)
        return;
    pthread_mutex_lock(&writer->lock);
    writer->ending = 1;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
    pthread_mutex_destroy(&writer->lock);
    pthread_cond_destroy(&writer->changed);
    h5_free(&writer->bytes);
    h5_free(&writer->pending_checksums);
    free(writer);
}

#endif

#endif
