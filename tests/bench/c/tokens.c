#include "tokens.h"

#include <string.h>

static const char DONE[] = "[DONE]";

static void look_for_done(struct tokens *t, char c)
{
    if (c != DONE[t->done_letters]) {
        t->done_letters = c == DONE[0];
    } else if (++t->done_letters == strlen(DONE)) {
        t->done = true;
        t->done_letters = 0;
    }
}

static void begin_mark(struct tokens *t)
{
    t->where = IN_SEQUENCE;
    t->sequence = t->stamp = 0;
}

static void in_mark(struct tokens *t, char c, token_sink *sink, void *owner)
{
    int64_t *number = t->where == IN_SEQUENCE ? &t->sequence : &t->stamp;
    if (c >= '0' && c <= '9') {
        *number = *number * 10 + (c - '0');
    } else if (t->where == IN_SEQUENCE && c == ',') {
        t->where = IN_STAMP;
    } else {
        if (t->where == IN_STAMP && c == '@')
            sink(owner, t->sequence, t->stamp);
        t->where = OUTSIDE;
    }
}

void tokens_scan(struct tokens *t, const char *text, size_t count, token_sink *sink, void *owner)
{
    for (size_t i = 0; i < count; i++) {
        look_for_done(t, text[i]);
        if (t->where != OUTSIDE)
            in_mark(t, text[i], sink, owner);
        else if (text[i] == '@')
            begin_mark(t);
    }
}
