// The one clock of the bench: the upstream stamps tokens with it and the load generator reads the stamps.
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H
#include <stdint.h>
#include <time.h>

enum { NS_PER_US = 1000, NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

// Nanoseconds of CLOCK_MONOTONIC, the same in every process of the host.
static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * (int64_t)NS_PER_S + t.tv_nsec;
}
#endif
