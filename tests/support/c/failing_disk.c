/* A disk that fails as it is told, for LD_PRELOAD. While the folder OCTROI_DISK holds a file `full`, writes to files whose
   name holds `.db` end in ENOSPC; while it holds a file `slow`, flushing one takes 300 ms. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int told(const char *what) {
    char path[4096];
    const char *folder = getenv("OCTROI_DISK");
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, what);
    return access(path, F_OK) == 0;
}

static int of_the_store(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, ".db") != NULL;
}

static int is_full(int fd) {
    if (!told("full") || !of_the_store(fd)) return 0;
    errno = ENOSPC;
    return 1;
}

static void wait_if_slow(int fd) {
    if (told("slow") && of_the_store(fd)) usleep(300000);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t length) {
    return is_full(fd) ? -1 : REAL(write)(fd, bytes, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return is_full(fd) ? -1 : REAL(pwrite)(fd, bytes, length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    return is_full(fd) ? -1 : REAL(pwrite64)(fd, bytes, length, at);
}

int fsync(int fd) {
    wait_if_slow(fd);
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    wait_if_slow(fd);
    return REAL(fdatasync)(fd);
}
