// The marks that the upstream puts into a stream: `@SEQUENCE,NANOSECONDS@` in every token, `[DONE]` at the end.
#ifndef BENCH_TOKENS_H
#define BENCH_TOKENS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokens {
    enum { OUTSIDE, IN_SEQUENCE, IN_STAMP } where;
    int64_t sequence, stamp;
    size_t done_letters; // of `[DONE]` seen in a row
    bool done;
};

typedef void token_sink(void *owner, int64_t sequence, int64_t stamp);

// Reads on in the text of one stream, however it is cut, and tells every whole mark.
void tokens_scan(struct tokens *t, const char *text, size_t count, token_sink *sink, void *owner);
#endif
