#include "http.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void message_begin(struct message *m, enum kind kind)
{
    m->kind = kind;
    m->part = IN_HEAD;
    m->head_length = 0;
    m->head[0] = 0;
    m->status = 0;
    m->keep_alive = true;
    m->left = 0;
    m->digits = 0;
    m->trailer_line = 0;
}

const char *message_field(const struct message *m, const char *name)
{
    char line[64];
    snprintf(line, sizeof line, "\r\n%s:", name);
    const char *found = strcasestr(m->head, line);
    return found ? found + strlen(line) : NULL;
}

static bool field_begins(const struct message *m, const char *name, const char *value)
{
    const char *text = message_field(m, name);
    while (text && *text == ' ')
        text++;
    return text && strncasecmp(text, value, strlen(value)) == 0;
}

static enum part part_after_head(struct message *m)
{
    const char *length = message_field(m, "content-length");
    if (field_begins(m, "transfer-encoding", "chunked"))
        return IN_CHUNK_SIZE;
    if (length)
        m->left = strtoll(length, NULL, 10);
    else if (m->kind == ANSWER && m->status != 204 && m->status != 304)
        return UNTIL_CLOSE;
    return m->left > 0 ? IN_LENGTH : COMPLETE;
}

static void head_is_complete(struct message *m)
{
    if (m->kind == ANSWER && strncmp(m->head, "HTTP/1.", 7) != 0) {
        m->part = MALFORMED;
        return;
    }
    m->status = m->kind == ANSWER ? atoi(m->head + strlen("HTTP/1.1 ")) : 0;
    if (m->kind == ANSWER && m->status / 100 == 1) {
        message_begin(m, ANSWER); // an interim answer: the real one follows
        return;
    }
    m->keep_alive = !field_begins(m, "connection", "close");
    m->part = part_after_head(m);
}

static size_t feed_head(struct message *m, const char *bytes, size_t count)
{
    size_t before = m->head_length, room = HEAD_MAX - before;
    size_t taken = count < room ? count : room;
    memcpy(m->head + before, bytes, taken);
    size_t length = before + taken;
    size_t from = before > 3 ? before - 3 : 0; // the blank line may have begun in the piece before
    char *end = memmem(m->head + from, length - from, "\r\n\r\n", 4);
    m->head_length = end ? (size_t)(end - m->head) + 4 : length;
    m->head[m->head_length] = 0;
    taken = m->head_length - before;
    if (end)
        head_is_complete(m);
    else if (m->head_length == HEAD_MAX)
        m->part = MALFORMED;
    return taken;
}

static size_t feed_body(struct message *m, const char *bytes, size_t count, body_sink *sink, void *owner)
{
    size_t taken = (long long)count < m->left ? count : (size_t)m->left;
    sink(owner, bytes, taken);
    m->left -= (long long)taken;
    if (m->left == 0)
        m->part = m->part == IN_CHUNK ? AFTER_CHUNK_CR : COMPLETE;
    return taken;
}

static enum part chunk_size(struct message *m, char c)
{
    if (isxdigit((unsigned char)c) && m->digits < 15) {
        int digit = isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
        m->left = m->left * 16 + digit;
        m->digits++;
        return IN_CHUNK_SIZE;
    }
    if (m->digits == 0)
        return MALFORMED;
    return c == '\r' ? AT_CHUNK_LF : c == ';' || c == ' ' ? IN_CHUNK_EXTENSION : MALFORMED;
}

static enum part chunk_begins(struct message *m, char c)
{
    m->digits = 0;
    if (c != '\n')
        return MALFORMED;
    return m->left > 0 ? IN_CHUNK : IN_TRAILER;
}

// The trailer ends with an empty line.
static enum part trailer(struct message *m, char c)
{
    if (c == '\n') {
        bool empty = m->trailer_line == 0;
        m->trailer_line = 0;
        return empty ? COMPLETE : IN_TRAILER;
    }
    if (c != '\r')
        m->trailer_line++;
    return IN_TRAILER;
}

// One byte of what stands around chunks.
static enum part frame_byte(struct message *m, char c)
{
    switch (m->part) {
    case IN_CHUNK_SIZE:
        return chunk_size(m, c);
    case IN_CHUNK_EXTENSION:
        return c == '\r' ? AT_CHUNK_LF : IN_CHUNK_EXTENSION;
    case AT_CHUNK_LF:
        return chunk_begins(m, c);
    case AFTER_CHUNK_CR:
        return c == '\r' ? AFTER_CHUNK_LF : MALFORMED;
    case AFTER_CHUNK_LF:
        return c == '\n' ? IN_CHUNK_SIZE : MALFORMED;
    case IN_TRAILER:
        return trailer(m, c);
    default:
        return MALFORMED;
    }
}

size_t message_feed(struct message *m, const char *bytes, size_t count, body_sink *sink, void *owner)
{
    size_t at = 0;
    while (at < count && m->part != COMPLETE && m->part != MALFORMED) {
        if (m->part == IN_HEAD) {
            at += feed_head(m, bytes + at, count - at);
        } else if (m->part == IN_LENGTH || m->part == IN_CHUNK) {
            at += feed_body(m, bytes + at, count - at, sink, owner);
        } else if (m->part == UNTIL_CLOSE) {
            sink(owner, bytes + at, count - at);
            at = count;
        } else {
            m->part = frame_byte(m, bytes[at++]);
        }
    }
    return at;
}
