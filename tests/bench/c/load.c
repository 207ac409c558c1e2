// The load generator: one thread, epoll, and a check of every byte that comes back.
//
//   load requests|ttft|streams  --port N --model NAME [--path /v1/chat/completions] [--connections N] [--seconds S]
//                               [--tokens N] [--interval-us N] [--ramp-ms N] [--hint "ttft=MS pad=BYTES"]
//
//   requests   closed loop of whole answers over keep-alive connections: how long each takes
//   ttft       closed loop of short streams: how long until the first token
//   streams    opens all streams over the ramp, prints STEADY half a second later, and reads for SECONDS from then on
//
// Prints one line of JSON. Every token carries the upstream's clock, so its way through the proxy is timed by itself:
// `delay_us` is the time between the upstream's send() and our recv(), with no request of ours in it.
#include "buffer.h"
#include "clock.h"
#include "http.h"
#include "net.h"
#include "samples.h"
#include "tokens.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 2000,
    ERRORS_MAX = 10000, // a proxy that refuses everything does not keep us busy
    EVENTS = 512,
    READ_BYTES = 262144,
    LONGEST_WAIT_MS = 100,
    SETTLE_MS = 500, // after a ramp
};

enum mode { REQUESTS, TTFT, STREAMS };
static const char *const MODES[] = {"requests", "ttft", "streams"};

static struct {
    enum mode mode;
    int port, connections;
    double seconds;
    long tokens, interval_us, ramp_ms;
    const char *path, *model, *hint;
} options = {.connections = 1, .seconds = 1, .tokens = 5, .path = "/v1/chat/completions", .model = "bench", .hint = ""};

struct client {
    int fd;
    enum { CLOSED, CONNECTING, WAITING } state;
    struct message answer;
    struct tokens tokens;
    int64_t asked;
    int64_t received; // when the bytes that are being read came
    long got;         // tokens of this answer
};

static struct {
    long finished;     // answers that came whole
    long errors;       // connections refused, reset, or ended too early
    long broken;       // answers with another status, a broken framing, no [DONE], or bytes after their end
    long out_of_order; // tokens that were not the next of their stream
    long tokens;       // of the time that counts
    long all_tokens;
    long long bytes;
} tally;

static struct samples answer_times, first_tokens, delays;
static int epoll_fd, opened, alive;
static bool counting; // this is the time that counts
static struct buffer request;
static struct sockaddr_in proxy;

// -- one answer

static void take_token(void *owner, int64_t sequence, int64_t stamp)
{
    struct client *c = owner;
    if (sequence != c->got || c->tokens.done)
        tally.out_of_order++;
    if (c->got == 0)
        samples_add(&first_tokens, c->received - c->asked);
    c->got = sequence + 1;
    tally.all_tokens++;
    if (counting) {
        samples_add(&delays, c->received - stamp);
        tally.tokens++;
    }
}

static void take_body(void *owner, const char *bytes, size_t count)
{
    struct client *c = owner;
    if (options.mode != REQUESTS)
        tokens_scan(&c->tokens, bytes, count, take_token, c);
}

static bool ask(struct client *c)
{
    message_begin(&c->answer, ANSWER);
    c->tokens = (struct tokens){0};
    c->got = 0;
    c->asked = now_ns();
    c->state = WAITING;
    ssize_t sent = send(c->fd, request.bytes, request.length, MSG_NOSIGNAL);
    return sent == (ssize_t)request.length;
}

// -- connections

static void hang_up(struct client *c)
{
    if (c->state == CLOSED)
        return;
    close(c->fd);
    c->state = CLOSED;
    alive--;
}

static void dial(struct client *c)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    send_at_once(c->fd);
    if (connect(c->fd, (struct sockaddr *)&proxy, sizeof proxy) < 0 && errno != EINPROGRESS) {
        tally.errors++;
        close(c->fd);
        return;
    }
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
    c->state = CONNECTING;
    alive++;
}

// A stream that failed stays away, so that what is lost is seen; a closed loop goes on.
static void failed(struct client *c)
{
    tally.errors++;
    hang_up(c);
    if (options.mode != STREAMS && tally.errors < ERRORS_MAX)
        dial(c);
}

static void finished(struct client *c, bool connection_ended)
{
    tally.finished++;
    if (c->answer.status != 200 || (options.mode != REQUESTS && !c->tokens.done))
        tally.broken++;
    samples_add(&answer_times, c->received - c->asked);
    if (options.mode == STREAMS) {
        hang_up(c);
    } else if (connection_ended || !c->answer.keep_alive) {
        hang_up(c);
        dial(c);
    } else if (!ask(c)) {
        failed(c);
    }
}

static void connected(struct client *c, uint32_t events)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    if ((events & (EPOLLERR | EPOLLHUP)) || !ask(c))
        failed(c);
}

static void receive(struct client *c)
{
    static char piece[READ_BYTES];
    ssize_t count = recv(c->fd, piece, sizeof piece, 0);
    if (count < 0 && errno == EAGAIN)
        return;
    c->received = now_ns();
    if (count <= 0) {
        if (count == 0 && c->answer.part == UNTIL_CLOSE)
            finished(c, true);
        else
            failed(c);
        return;
    }
    tally.bytes += count;
    size_t taken = message_feed(&c->answer, piece, (size_t)count, take_body, c);
    bool more = taken < (size_t)count;
    if (c->answer.part == MALFORMED || more) {
        tally.broken++;
        failed(c);
    } else if (c->answer.part == COMPLETE) {
        finished(c, false);
    }
}

// -- the run

static void open_clients(struct client *clients, int64_t begun)
{
    int64_t ramp = options.ramp_ms * (int64_t)NS_PER_MS;
    while (opened < options.connections && now_ns() - begun >= ramp * opened / options.connections)
        dial(&clients[opened++]);
}

// The end of the run as it is known now; in `streams` only after the ramp, when the time that counts begins.
static int64_t begin_to_count(int64_t begun, int64_t *counted_from)
{
    int64_t settled = options.ramp_ms ? begun + (options.ramp_ms + SETTLE_MS) * (int64_t)NS_PER_MS : begun;
    if (!counting && opened == options.connections && now_ns() >= settled) {
        counting = true;
        *counted_from = now_ns();
        if (options.mode == STREAMS) {
            printf("STEADY\n");
            fflush(stdout);
        }
    }
    return counting ? *counted_from + (int64_t)(options.seconds * NS_PER_S) : INT64_MAX;
}

static int wait_ms(int64_t until)
{
    if (opened < options.connections)
        return 1;
    int64_t left = (until - now_ns()) / NS_PER_MS + 1;
    return left < 0 ? 0 : left > LONGEST_WAIT_MS ? LONGEST_WAIT_MS : (int)left;
}

// Returns how many seconds counted.
static double run(struct client *clients)
{
    struct epoll_event events[EVENTS];
    int64_t begun = now_ns(), counted_from = begun;
    for (;;) {
        open_clients(clients, begun);
        int64_t until = begin_to_count(begun, &counted_from);
        if (now_ns() >= until || (opened == options.connections && alive == 0))
            return (double)(now_ns() - counted_from) / NS_PER_S;
        int count = epoll_wait(epoll_fd, events, EVENTS, wait_ms(until));
        for (int i = 0; i < count; i++) {
            struct client *c = events[i].data.ptr;
            if (c->state == CONNECTING)
                connected(c, events[i].events);
            else if (c->state == WAITING)
                receive(c);
        }
    }
}

static void report(double seconds)
{
    printf("{\"mode\":\"%s\",\"seconds\":%.3f,\"finished\":%ld,\"errors\":%ld,\"broken\":%ld,\"out_of_order\":%ld,"
           "\"tokens\":%ld,\"all_tokens\":%ld,\"bytes\":%lld,",
           MODES[options.mode], seconds, tally.finished, tally.errors, tally.broken, tally.out_of_order, tally.tokens,
           tally.all_tokens, tally.bytes);
    samples_print(&answer_times, "answer_us");
    printf(",");
    samples_print(&first_tokens, "first_token_us");
    printf(",");
    samples_print(&delays, "delay_us");
    printf("}\n");
}

static void write_request(void)
{
    char stream[256] = "", body[2048], head[1024];
    if (options.mode != REQUESTS)
        snprintf(stream, sizeof stream, ",\"stream\":true,\"max_tokens\":%ld,\"seed\":%ld,\"user\":\"%s\"",
                 options.tokens, options.interval_us, options.hint);
    int length = snprintf(body, sizeof body,
                          "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello, please tell me a "
                          "story about a lemonade stand.\"}]%s}",
                          options.model, stream);
    int count = snprintf(head, sizeof head,
                         "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: bench\r\nAccept: */*\r\n"
                         "Authorization: Bearer bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
                         options.path, options.port, length);
    buffer_append(&request, head, (size_t)count);
    buffer_append(&request, body, (size_t)length);
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: load requests|ttft|streams --port N [options]; at most %d connections\n", CONNECTIONS_MAX);
    exit(2);
}

static enum mode mode_named(const char *name)
{
    for (int i = 0; i < (int)(sizeof MODES / sizeof *MODES); i++)
        if (name && strcmp(name, MODES[i]) == 0)
            return (enum mode)i;
    usage();
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"port", 1, 0, 'p'},    {"path", 1, 0, 'P'},        {"model", 1, 0, 'm'},   {"connections", 1, 0, 'c'},
        {"seconds", 1, 0, 's'}, {"tokens", 1, 0, 't'},      {"hint", 1, 0, 'h'},    {"interval-us", 1, 0, 'i'},
        {"ramp-ms", 1, 0, 'r'}, {0},
    };
    options.mode = mode_named(argv[1]);
    int c;
    while ((c = getopt_long(argc - 1, argv + 1, "", known, NULL)) != -1) {
        switch (c) {
        case 'p': options.port = atoi(optarg); break;
        case 'P': options.path = optarg; break;
        case 'm': options.model = optarg; break;
        case 'c': options.connections = atoi(optarg); break;
        case 's': options.seconds = atof(optarg); break;
        case 't': options.tokens = atol(optarg); break;
        case 'h': options.hint = optarg; break;
        case 'i': options.interval_us = atol(optarg); break;
        case 'r': options.ramp_ms = atol(optarg); break;
        default: usage();
        }
    }
    if (options.port <= 0 || options.connections < 1 || options.connections > CONNECTIONS_MAX)
        usage();
}

int main(int argc, char **argv)
{
    if (argc < 2)
        usage();
    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    allow_many_files();
    proxy = loopback(options.port);
    write_request();
    epoll_fd = epoll_create1(0);
    struct client *clients = calloc((size_t)options.connections, sizeof *clients);
    if (!clients)
        return 1;
    report(run(clients));
    return 0;
}
