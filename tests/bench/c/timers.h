// Who is due when: a binary heap, the earliest on top.
#ifndef BENCH_TIMERS_H
#define BENCH_TIMERS_H
#include <stdint.h>

struct timer {
    int64_t due; // nanoseconds of the monotonic clock
    int place;   // in the heap; NOT_SET when it is not in it
    void *owner;
};

enum { NOT_SET = -1 };

void timer_set(struct timer *t, int64_t due); // also when it is set already
void timer_drop(struct timer *t);             // also when it is not set
struct timer *timer_next(void);               // the earliest, NULL when there is none
#endif
