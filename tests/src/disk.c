/* Stands between a process and the system, and lets the n-th call that changes something below the folder $EVERPOST_TEST_DISK fail,
   or cuts the power of its file system with it, as the file $EVERPOST_TEST_ORDER says. That holds words of 64 bits, big-endian, whose
   places are named below. What a process writes through a map of memory goes past this, and so do system calls without libc. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum place { FIRST, LAST, WHAT, DETAIL, DELAY, CALLS, FIRED, NAME };
enum fate { DONE, REFUSED, REPORTED, HALVED, CUT };
/* What ext4, xfs and others go down by: nothing reaches the disk from then on. */
#define GOING_DOWN _IOR('X', 125, uint32_t)

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static uint64_t *order;
static int error, has_begun;

static uint64_t word(enum place place) { return be64toh(order[place]); }

/* The parent hears in which order this and what the process itself says have come. */
static void say(void) {
    static const char line[] = "@ \"Faulted\"\n";
    syscall(SYS_write, 1, line, sizeof line - 1);
}

static void *cut(void *unused) {
    struct timespec delay = {0, (long)word(DELAY)};
    nanosleep(&delay, NULL);
    uint32_t how = (uint32_t)word(DETAIL);
    int top = (int)syscall(SYS_openat, AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    /* Before: what fails because of it may be heard before this thread has returned. */
    order[FIRED] = htobe64(1);
    if (ioctl(top, GOING_DOWN, &how) != 0) order[FIRED] = htobe64(1 + (uint64_t)errno);
    say();
    syscall(SYS_close, top);
    return unused;
}

static void set_up(void) {
    if (order) return;
    folder = getenv("EVERPOST_TEST_DISK");
    int file = (int)syscall(SYS_openat, AT_FDCWD, getenv("EVERPOST_TEST_ORDER"), O_RDWR | O_CLOEXEC, 0);
    order = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (!folder || order == MAP_FAILED) abort();
    syscall(SYS_close, file);
}

static enum fate of_path(const char *path, const char *name) {
    pthread_mutex_lock(&one_at_a_time);
    set_up();
    enum fate fate = DONE;
    if (strncmp(path, folder, strlen(folder)) == 0) {
        uint64_t call = word(CALLS) + 1;
        order[CALLS] = htobe64(call);
        if (call >= word(FIRST) && call <= word(LAST)) {
            int is_first = !has_begun;
            has_begun = 1;
            fate = (enum fate)word(WHAT);
            if (is_first) strncpy((char *)&order[NAME], name, 16);
            if (fate == CUT) {
                pthread_t thread;
                if (is_first && word(DELAY) == 0) cut(NULL);
                if (is_first && word(DELAY) != 0 && pthread_create(&thread, NULL, cut, NULL) == 0) pthread_detach(thread);
                fate = DONE;
            } else {
                error = (int)word(DETAIL);
                order[FIRED] = htobe64(1);
                if (is_first) say();
                /* One write is cut short, and what comes after it finds no disk at all. */
                if (fate == HALVED && !is_first) fate = REFUSED;
            }
        }
    }
    pthread_mutex_unlock(&one_at_a_time);
    return fate;
}

static enum fate of_file(int file, const char *name) {
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return DONE;
    path[length] = 0;
    return of_path(path, name);
}

static int refuse(void) {
    errno = error;
    return -1;
}

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, #name); real; })

#define WRITES(name, parameters, whole, half)                                  \
    ssize_t name parameters {                                                  \
        enum fate fate = of_file(file, #name);                                 \
        if (fate == REFUSED) return refuse();                                  \
        ssize_t done = fate == HALVED ? REAL(name) half : REAL(name) whole;    \
        return fate == REPORTED ? refuse() : done;                             \
    }

WRITES(write, (int file, const void *from, size_t length), (file, from, length), (file, from, length / 2))
WRITES(pwrite, (int file, const void *from, size_t length, off_t at), (file, from, length, at), (file, from, length / 2, at))
WRITES(pwrite64, (int file, const void *from, size_t length, off64_t at), (file, from, length, at), (file, from, length / 2, at))
WRITES(writev, (int file, const struct iovec *parts, int count), (file, parts, count), (file, parts, count / 2))
WRITES(pwritev, (int file, const struct iovec *parts, int count, off_t at), (file, parts, count, at), (file, parts, count / 2, at))
WRITES(pwritev64, (int file, const struct iovec *parts, int count, off64_t at), (file, parts, count, at), (file, parts, count / 2, at))

#define CHANGES(name, where, of, parameters, arguments)                        \
    int name parameters {                                                      \
        enum fate fate = of(where, #name);                                     \
        if (fate == REFUSED || fate == HALVED) return refuse();                \
        int done = REAL(name) arguments;                                       \
        return fate == REPORTED ? refuse() : done;                             \
    }

CHANGES(fsync, file, of_file, (int file), (file))
CHANGES(fdatasync, file, of_file, (int file), (file))
CHANGES(ftruncate, file, of_file, (int file, off_t length), (file, length))
CHANGES(ftruncate64, file, of_file, (int file, off64_t length), (file, length))
CHANGES(rename, from, of_path, (const char *from, const char *to), (from, to))
CHANGES(mkdir, path, of_path, (const char *path, mode_t mode), (path, mode))
CHANGES(rmdir, path, of_path, (const char *path), (path))
CHANGES(unlink, path, of_path, (const char *path), (path))

/* Only those that may change something. */
#define OPENS(name)                                                            \
    int name(const char *path, int flags, ...) {                               \
        va_list more;                                                          \
        va_start(more, flags);                                                 \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;              \
        va_end(more);                                                          \
        int changes = flags & (O_WRONLY | O_RDWR | O_CREAT);                   \
        enum fate fate = changes ? of_path(path, #name) : DONE;                \
        if (fate == REFUSED || fate == HALVED) return refuse();                \
        int file = REAL(name)(path, flags, mode);                              \
        if (fate != REPORTED) return file;                                     \
        close(file);                                                           \
        return refuse();                                                       \
    }

OPENS(open)
OPENS(open64)
