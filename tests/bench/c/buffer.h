// Bytes that grow at the end and are taken from the front.
#ifndef BENCH_BUFFER_H
#define BENCH_BUFFER_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct buffer {
    char *bytes; // a NUL follows the last one, so that text in it can be searched
    size_t length, room;
};

static inline void buffer_append(struct buffer *b, const char *bytes, size_t count)
{
    if (b->length + count + 1 > b->room) {
        b->room = 2 * (b->length + count + 1);
        b->bytes = realloc(b->bytes, b->room);
        if (!b->bytes) {
            perror("bench: no memory");
            exit(1);
        }
    }
    memcpy(b->bytes + b->length, bytes, count);
    b->length += count;
    b->bytes[b->length] = 0;
}

static inline void buffer_take(struct buffer *b, size_t count)
{
    b->length -= count;
    memmove(b->bytes, b->bytes + count, b->length + 1);
}

static inline void buffer_free(struct buffer *b)
{
    free(b->bytes);
    *b = (struct buffer){0};
}
#endif
