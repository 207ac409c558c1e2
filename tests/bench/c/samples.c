#include "samples.h"

#include <stdio.h>
#include <stdlib.h>

void samples_add(struct samples *s, int64_t ns)
{
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 65536;
        s->tenths = realloc(s->tenths, s->room * sizeof *s->tenths);
        if (!s->tenths) {
            perror("bench: no memory");
            exit(1);
        }
    }
    int64_t tenths = ns / 100;
    s->tenths[s->count++] = tenths < 0 ? 0 : tenths > UINT32_MAX ? UINT32_MAX : (uint32_t)tenths;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile(const struct samples *s, double share)
{
    return s->count ? s->tenths[(size_t)((double)(s->count - 1) * share)] / 10.0 : 0.0;
}

void samples_print(struct samples *s, const char *name)
{
    if (s->count)
        qsort(s->tenths, s->count, sizeof *s->tenths, by_size);
    printf("\"%s\":{\"n\":%zu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}", name, s->count,
           percentile(s, 0.5), percentile(s, 0.9), percentile(s, 0.99), percentile(s, 0.999), percentile(s, 1.0));
}
