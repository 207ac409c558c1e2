// An OpenAI-like server that is never the bottleneck: one thread, epoll, one send() per token.
//
//   upstream PORT
//
//   POST .../completions  {"stream": true, "max_tokens": N, "seed": INTERVAL_US, "user": "ttft=MS pad=BYTES"}
//                         N tokens as server-sent events in chunks, each stamped with the clock when it left;
//                         without `stream`, after `ttft`, one JSON answer of about 1 KB
//   POST .../audio/...    swallows the body, answers {"bytes", "first_ns", "last_ns"}: when they came
//   GET  .../models       one model
//   GET  /stats           what it has seen, see write_stats()
//
// The odd fields are ones that every proxy passes on as they are.
#include "buffer.h"
#include "clock.h"
#include "http.h"
#include "net.h"
#include "timers.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,
    READ_BYTES = 65536,
    EVENTS = 512,
    TOKENS_PER_TURN = 512, // of all streams, before sockets are looked at again
    PAD_MAX = 65000,
    KEPT_BODY_MAX = 1 << 20,
    PIPELINE_MAX = 1 << 20,
};

struct connection {
    struct timer timer;
    int fd;
    bool answering, streaming, wants_room; // `wants_room`: some output is still here
    struct message request;
    struct buffer in, body, out;
    int64_t first_byte, last_byte; // of the request's body
    long long body_bytes;
    long tokens, sent;
    int64_t interval; // between two tokens, nanoseconds
    int pad;          // bytes that every token is made longer by
};

static int epoll_fd;
static char padding[PAD_MAX];
static struct buffer whole_answer; // the JSON of about 1 KB

static struct {
    long active, gone; // answers under way, and those whose client left meanwhile
    int64_t last_gone;
    long long bytes;
} seen;

// -- sending

static void watch(struct connection *c, bool for_room)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | (for_room ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    c->wants_room = for_room;
}

// How many of the bytes the socket took; -1 when the client is gone.
static ssize_t send_some(struct connection *c, const char *bytes, size_t count)
{
    size_t sent = 0;
    while (sent < count) {
        ssize_t n = send(c->fd, bytes + sent, count - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return -1;
        sent += (size_t)n;
        seen.bytes += n;
    }
    return (ssize_t)sent;
}

// Sends now what can be sent and keeps the rest; false when the client is gone.
static bool put(struct connection *c, const char *bytes, size_t count)
{
    ssize_t sent = c->wants_room ? 0 : send_some(c, bytes, count);
    if (sent < 0)
        return false;
    if ((size_t)sent < count) {
        buffer_append(&c->out, bytes + sent, count - (size_t)sent);
        if (!c->wants_room)
            watch(c, true);
    }
    return true;
}

// The socket has room again; false when the client is gone.
static bool send_kept(struct connection *c)
{
    ssize_t sent = send_some(c, c->out.bytes, c->out.length);
    if (sent < 0)
        return false;
    buffer_take(&c->out, (size_t)sent);
    if (c->out.length == 0) {
        watch(c, false);
        if (c->streaming)
            timer_set(&c->timer, now_ns());
    }
    return true;
}

// -- answers

static void begin_answer(struct connection *c)
{
    c->answering = true;
    seen.active++;
}

static void end_answer(struct connection *c)
{
    c->answering = c->streaming = false;
    seen.active--;
    timer_drop(&c->timer);
    message_begin(&c->request, REQUEST);
    c->body.length = 0;
    c->body_bytes = 0;
    c->first_byte = c->last_byte = 0;
}

static bool answer_json(struct connection *c, const char *body, size_t count)
{
    static char answer[4096];
    int head = snprintf(answer, sizeof answer,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", count);
    memcpy(answer + head, body, count);
    bool there = put(c, answer, (size_t)head + count);
    end_answer(c);
    return there;
}

static bool answer_text(struct connection *c, const char *json)
{
    return answer_json(c, json, strlen(json));
}

static bool write_stats(struct connection *c)
{
    char json[256];
    snprintf(json, sizeof json, "{\"active\":%ld,\"gone\":%ld,\"last_gone_ns\":%lld,\"bytes\":%lld}",
             seen.active - 1, seen.gone, (long long)seen.last_gone, seen.bytes); // but for this one
    return answer_text(c, json);
}

static bool write_upload(struct connection *c)
{
    char json[256];
    snprintf(json, sizeof json, "{\"text\":\"\",\"bytes\":%lld,\"first_ns\":%lld,\"last_ns\":%lld}", c->body_bytes,
             (long long)c->first_byte, (long long)c->last_byte);
    return answer_text(c, json);
}

static bool write_models(struct connection *c)
{
    return answer_text(c, "{\"object\":\"list\",\"data\":[{\"id\":\"bench\",\"object\":\"model\",\"created\":0,"
                          "\"owned_by\":\"bench\"}]}");
}

#define EVENT_HEAD                                                                                                     \
    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,"                    \
    "\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":"

static bool send_event(struct connection *c, const char *event, int length, const char *after)
{
    static char chunk[PAD_MAX + 1024];
    int count = snprintf(chunk, sizeof chunk, "%x\r\n%.*s\r\n%s", (unsigned)length, length, event, after);
    return put(c, chunk, (size_t)count);
}

static bool send_token(struct connection *c)
{
    static char event[PAD_MAX + 512];
    const char *role = c->sent == 0 ? "\"role\":\"assistant\"," : "";
    int length = snprintf(event, sizeof event, EVENT_HEAD "{%s\"content\":\"@%ld,%lld@%.*s\"},\"finish_reason\":null}]}\n\n",
                          role, c->sent, (long long)now_ns(), c->pad, padding);
    c->sent++;
    return send_event(c, event, length, "");
}

static bool send_end(struct connection *c)
{
    static const char stop[] = EVENT_HEAD "{},\"finish_reason\":\"stop\"}]}\n\n";
    static const char done[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    bool there = send_event(c, stop, sizeof stop - 1, done);
    end_answer(c);
    return there;
}

// -- requests

// The number after `key` in the request's body, however it is written: `"key": 5`, `key=5`.
static long number_after(const char *body, const char *key, long otherwise)
{
    const char *found = strstr(body, key);
    if (!found)
        return otherwise;
    found += strlen(key);
    return strtol(found + strspn(found, " :\"="), NULL, 10);
}

static bool asks_for_stream(const char *body)
{
    const char *found = strstr(body, "\"stream\"");
    if (!found)
        return false;
    found += strlen("\"stream\"");
    return found[strspn(found, " :")] == 't';
}

static bool begin_stream(struct connection *c, const char *body, int64_t first_token)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    c->streaming = true;
    c->tokens = number_after(body, "\"max_tokens\"", number_after(body, "\"max_completion_tokens\"", 16));
    c->interval = number_after(body, "\"seed\"", 0) * (int64_t)NS_PER_US;
    long pad = number_after(body, "pad=", 0);
    c->pad = pad < 0 ? 0 : pad > PAD_MAX ? PAD_MAX : (int)pad;
    c->sent = 0;
    timer_set(&c->timer, first_token);
    return put(c, head, sizeof head - 1);
}

static bool complete(struct connection *c)
{
    const char *body = c->body.bytes ? c->body.bytes : "";
    int64_t wait = number_after(body, "ttft=", 0) * (int64_t)NS_PER_MS;
    if (asks_for_stream(body))
        return begin_stream(c, body, now_ns() + wait);
    if (wait == 0)
        return answer_json(c, whole_answer.bytes, whole_answer.length);
    timer_set(&c->timer, now_ns() + wait);
    return true;
}

static bool path_has(const struct connection *c, const char *part)
{
    const char *end = strpbrk(c->request.head, "\r\n");
    const char *found = strstr(c->request.head, part);
    return found && found < end;
}

static const struct {
    const char *path;
    bool (*answer)(struct connection *);
} ROUTES[] = {
    {"/completions", complete},
    {"/audio/", write_upload},
    {"/models", write_models},
    {"/stats", write_stats},
};

// The request is whole: answer it, or begin to; false when the connection is to be closed.
static bool respond(struct connection *c)
{
    begin_answer(c);
    for (size_t i = 0; i < sizeof ROUTES / sizeof *ROUTES; i++)
        if (path_has(c, ROUTES[i].path))
            return ROUTES[i].answer(c);
    return answer_text(c, "{\"status\":\"ok\"}");
}

static void take_body(void *owner, const char *bytes, size_t count)
{
    struct connection *c = owner;
    c->last_byte = now_ns();
    if (!c->first_byte)
        c->first_byte = c->last_byte;
    c->body_bytes += (long long)count;
    if (c->body.length + count <= KEPT_BODY_MAX && !path_has(c, "/audio/"))
        buffer_append(&c->body, bytes, count);
}

// Reads requests from what came, one after the other; false when the connection is to be closed.
static bool read_requests(struct connection *c)
{
    while (!c->answering && c->in.length) {
        size_t taken = message_feed(&c->request, c->in.bytes, c->in.length, take_body, c);
        buffer_take(&c->in, taken);
        if (c->request.part == MALFORMED)
            return false;
        if (c->request.part == COMPLETE && !respond(c))
            return false;
    }
    return c->in.length <= PIPELINE_MAX;
}

// -- connections

static void accept_all(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0)
            return;
        struct connection *c = calloc(1, sizeof *c);
        if (!c) {
            close(fd);
            return;
        }
        send_at_once(fd);
        c->fd = fd;
        c->timer = (struct timer){.place = NOT_SET, .owner = c};
        message_begin(&c->request, REQUEST);
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void drop(struct connection *c)
{
    if (c->answering) {
        seen.active--;
        seen.gone++;
        seen.last_gone = now_ns();
    }
    timer_drop(&c->timer);
    close(c->fd);
    buffer_free(&c->in);
    buffer_free(&c->body);
    buffer_free(&c->out);
    free(c);
}

// Everything that came; false when the client is gone.
static bool receive(struct connection *c)
{
    static char piece[READ_BYTES];
    for (;;) {
        ssize_t n = recv(c->fd, piece, sizeof piece, 0);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        buffer_append(&c->in, piece, (size_t)n);
        if (!read_requests(c))
            return false;
        if ((size_t)n < sizeof piece)
            return true;
    }
}

static void serve(struct connection *c, uint32_t events)
{
    bool there = !(events & (EPOLLHUP | EPOLLERR));
    if (there && (events & EPOLLOUT))
        there = send_kept(c);
    if (there && (events & EPOLLIN))
        there = receive(c);
    if (there && (events & EPOLLRDHUP))
        there = receive(c); // all that is left, then its end
    if (!there)
        drop(c);
}

// What a connection has to do at its time; false when it is to be closed.
static bool turn(struct connection *c)
{
    bool there;
    if (!c->streaming)
        there = answer_json(c, whole_answer.bytes, whole_answer.length);
    else if (c->sent == c->tokens)
        there = send_end(c);
    else
        there = send_token(c);
    if (!there || !c->answering)
        return there && read_requests(c);
    if (c->wants_room)
        timer_drop(&c->timer); // send_kept() sets it again
    else
        timer_set(&c->timer, c->interval ? c->timer.due + c->interval : now_ns());
    return true;
}

static void take_turns(void)
{
    int64_t now = now_ns();
    struct timer *next;
    for (int i = 0; i < TOKENS_PER_TURN && (next = timer_next()) && next->due <= now; i++)
        if (!turn(next->owner))
            drop(next->owner);
}

static int wait_for_events(struct epoll_event *events)
{
    struct timer *next = timer_next();
    if (!next)
        return epoll_wait(epoll_fd, events, EVENTS, -1);
    int64_t left = next->due - now_ns();
    if (left <= 0)
        return epoll_wait(epoll_fd, events, EVENTS, 0);
    struct timespec wait = {left / NS_PER_S, left % NS_PER_S};
    return epoll_pwait2(epoll_fd, events, EVENTS, &wait, NULL);
}

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    struct sockaddr_in address = loopback(port);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0) {
        perror("upstream");
        exit(1);
    }
    return fd;
}

static void write_whole_answer(void)
{
    static const char head[] = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1760000000,"
                               "\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                               "\"content\":\"";
    static const char tail[] = "\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":10,"
                               "\"completion_tokens\":128,\"total_tokens\":138}}";
    buffer_append(&whole_answer, head, sizeof head - 1);
    buffer_append(&whole_answer, padding, 700);
    buffer_append(&whole_answer, tail, sizeof tail - 1);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: upstream PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    allow_many_files();
    memset(padding, 'x', sizeof padding);
    write_whole_answer();
    int listener = listen_on(atoi(argv[1]));
    epoll_fd = epoll_create1(0);
    struct epoll_event events[EVENTS], accepting = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &accepting);
    for (;;) {
        int count = wait_for_events(events);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                serve(events[i].data.ptr, events[i].events);
            else
                accept_all(listener);
        }
        take_turns();
    }
}
