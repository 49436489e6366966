/* While the file $EVERPOST_TEST_STALL is not empty no sync to the disk ends, as on one that does not answer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void stall(void) {
    const char *path = getenv("EVERPOST_TEST_STALL");
    struct stat file;
    while (path && stat(path, &file) == 0 && file.st_size > 0) usleep(1000);
}

int fdatasync(int file) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    stall();
    return real(file);
}

int fsync(int file) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    stall();
    return real(file);
}

int msync(void *start, size_t length, int flags) {
    static int (*real)(void *, size_t, int);
    if (!real) real = dlsym(RTLD_NEXT, "msync");
    stall();
    return real(start, length, flags);
}
