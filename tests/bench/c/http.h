// One HTTP/1.1 message as it arrives, however it is cut: a head, then a body by length, in chunks or until the end.
// It is strict about chunks, because the bench also proves that a proxy keeps them whole.
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H
#include <stdbool.h>
#include <stddef.h>

enum { HEAD_MAX = 8192 };

enum kind { REQUEST, ANSWER };

enum part {
    IN_HEAD,
    IN_LENGTH,          // a body whose length is known
    IN_CHUNK_SIZE,      // hexadecimal digits
    IN_CHUNK_EXTENSION, // what may follow them, up to CR
    AT_CHUNK_LF,        // the LF of the line with the size
    IN_CHUNK,
    AFTER_CHUNK_CR,
    AFTER_CHUNK_LF,
    IN_TRAILER,
    UNTIL_CLOSE,
    COMPLETE,
    MALFORMED,
};

struct message {
    enum kind kind;
    enum part part;
    char head[HEAD_MAX + 1]; // with its NUL, once it is complete
    size_t head_length;
    int status;          // of an answer
    bool keep_alive;     // the connection serves another message after this one
    long long left;      // bytes to come: of the body, or of this chunk
    int digits;          // of the chunk's size so far
    size_t trailer_line; // length of the trailer's line so far
};

typedef void body_sink(void *owner, const char *bytes, size_t count);

void message_begin(struct message *m, enum kind kind);

// Reads on and hands the body to `sink`; returns how many bytes belong to this message. Look at `part` afterwards.
size_t message_feed(struct message *m, const char *bytes, size_t count, body_sink *sink, void *owner);

// The text after `name:` in the head, up to the end of the head; NULL when there is no such field.
const char *message_field(const struct message *m, const char *name);
#endif
