/* Lets the wall clock of one program jump, by LD_PRELOAD: the file that HITTERS_TEST_JUMP names holds the seconds by which it
 * is wrong, as eight bytes of this machine, and may change at any time. The clock that only counts is left alone, as a real
 * jump leaves it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *wrong_by;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("HITTERS_TEST_JUMP");
    if (!path)
        return;
    void *bytes = mmap(NULL, sizeof *wrong_by, PROT_READ, MAP_SHARED, open(path, O_RDONLY), 0);
    if (bytes == MAP_FAILED)
        abort();
    wrong_by = bytes;
}

static int64_t wrong(void) {
    return wrong_by ? *wrong_by : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += wrong();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now)
        *now = exact.tv_sec;
    return exact.tv_sec;
}

/* Waits until a moment of the wall clock are made anew every few milliseconds, as the kernel does when its clock jumps. Moments
 * of the clock that only counts are small, and left alone. */
#define SLICE 10000000L

static int slice(const struct timespec *until, struct timespec *kernel) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    int64_t left = (until->tv_sec - wrong() - now.tv_sec) * 1000000000L + until->tv_nsec - now.tv_nsec;
    int last = left <= SLICE;
    int64_t then = now.tv_nsec + (left < 0 ? 0 : last ? left : SLICE);
    kernel->tv_sec = now.tv_sec + then / 1000000000L;
    kernel->tv_nsec = then % 1000000000L;
    return last;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    static int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!wait) {
        void *found = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
        wait = found ? found : dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    }
    if (until->tv_sec < 1000000000)
        return wait(condition, mutex, until);
    for (;;) {
        struct timespec kernel;
        int last = slice(until, &kernel), result = wait(condition, mutex, &kernel);
        if (last || result != ETIMEDOUT)
            return result;
    }
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    static int (*wait)(cnd_t *, mtx_t *, const struct timespec *);
    if (!wait)
        wait = dlsym(RTLD_NEXT, "cnd_timedwait");
    for (;;) {
        struct timespec kernel;
        int last = slice(until, &kernel), result = wait(condition, mutex, &kernel);
        if (last || result != thrd_timedout)
            return result;
    }
}
