/* A disk that is slow, broken or full, for the one process that was started with this library preloaded.
 *
 * SILLAGE_FAULTY_DIR is the folder whose files are affected, SILLAGE_FAULTY_CONTROL a file of one page that says what
 * happens to them; whoever breaks the disk writes there while the process runs (disk.rs has the same layout):
 *
 *   0  u32  microseconds that each chosen call takes longer
 *   4  u32  errno with which each chosen call fails; 0: none does
 *   8  u32  which calls: 1 fsync and fdatasync, 2 write, pwrite and their kin, and allocation
 *  16  u64  how many calls were delayed or failed so far
 *
 * Calls that bypass the C library are not seen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SYNCS = 1, WRITES = 2 };

struct control {
    volatile uint32_t delay_us;
    volatile uint32_t error;
    volatile uint32_t calls;
    uint32_t unused;
    uint64_t hits;
};

static struct control *control;
static char folder[4096];
static size_t folder_bytes;

__attribute__((constructor)) static void begin(void) {
    const char *dir = getenv("SILLAGE_FAULTY_DIR"), *file = getenv("SILLAGE_FAULTY_CONTROL");
    if (!dir || !file || strlen(dir) >= sizeof folder) return;
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page == MAP_FAILED) return;
    folder_bytes = strlen(dir);
    memcpy(folder, dir, folder_bytes);
    control = page;
}

/* Whether the file is in the folder. Asked only while something is broken, so that a sound disk costs nothing. */
static int is_affected(int fd) {
    char name[64], path[4096];
    int digits = 0, rest = fd;
    char reversed[16];
    if (fd < 0) return 0;
    do reversed[digits++] = (char)('0' + rest % 10); while ((rest /= 10) > 0);
    memcpy(name, "/proc/self/fd/", 14);
    for (int i = 0; i < digits; i++) name[14 + i] = reversed[digits - 1 - i];
    name[14 + digits] = 0;
    ssize_t length = readlink(name, path, sizeof path);
    return length > (ssize_t)folder_bytes && !memcmp(path, folder, folder_bytes) && path[folder_bytes] == '/';
}

/* Waits as long as the disk is slow; the error to fail with, 0 for none. */
static int strike(int fd, uint32_t call) {
    if (!control || !(control->calls & call)) return 0;
    uint32_t delay = control->delay_us, error = control->error;
    if (!(delay || error) || !is_affected(fd)) return 0;
    __atomic_fetch_add(&control->hits, 1, __ATOMIC_RELAXED);
    if (delay) {
        struct timespec wait = {delay / 1000000, (long)(delay % 1000000) * 1000};
        syscall(SYS_nanosleep, &wait, NULL);
    }
    return (int)error;
}

/* Defines a function of the C library that fails or waits while its disk is broken. */
#define WRAP(result, name, call, parameters, arguments)                                   \
    result name parameters {                                                              \
        static result(*real) parameters;                                                  \
        if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name);                  \
        int error = strike(fd, call);                                                     \
        if (error) {                                                                      \
            errno = error;                                                                \
            return -1;                                                                    \
        }                                                                                 \
        return real arguments;                                                            \
    }

WRAP(int, fsync, SYNCS, (int fd), (fd))
WRAP(int, fdatasync, SYNCS, (int fd), (fd))
WRAP(ssize_t, write, WRITES, (int fd, const void *bytes, size_t count), (fd, bytes, count))
WRAP(ssize_t, pwrite, WRITES, (int fd, const void *bytes, size_t count, off_t at), (fd, bytes, count, at))
WRAP(ssize_t, pwrite64, WRITES, (int fd, const void *bytes, size_t count, off64_t at), (fd, bytes, count, at))
WRAP(ssize_t, writev, WRITES, (int fd, const struct iovec *parts, int count), (fd, parts, count))
WRAP(int, fallocate, WRITES, (int fd, int mode, off_t at, off_t bytes), (fd, mode, at, bytes))
WRAP(int, fallocate64, WRITES, (int fd, int mode, off64_t at, off64_t bytes), (fd, mode, at, bytes))
