// Many durations, and their percentiles at the end.
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H
#include <stddef.h>
#include <stdint.h>

struct samples {
    uint32_t *tenths; // of a microsecond
    size_t count, room;
};

void samples_add(struct samples *s, int64_t ns);

// Prints `"name":{"n":..,"p50":..,...}`, in microseconds.
void samples_print(struct samples *s, const char *name);
#endif
