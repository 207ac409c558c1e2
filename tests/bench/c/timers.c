#include "timers.h"

#include <stdio.h>
#include <stdlib.h>

static struct timer **heap;
static int count, room;

static void put(struct timer *t, int place)
{
    heap[place] = t;
    t->place = place;
}

static void swap(int a, int b)
{
    struct timer *t = heap[a];
    put(heap[b], a);
    put(t, b);
}

static void rise(int i)
{
    while (i > 0 && heap[i]->due < heap[(i - 1) / 2]->due) {
        swap(i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static void sink(int i)
{
    for (;;) {
        int first = i;
        for (int child = 2 * i + 1; child <= 2 * i + 2 && child < count; child++)
            if (heap[child]->due < heap[first]->due)
                first = child;
        if (first == i)
            return;
        swap(i, first);
        i = first;
    }
}

static void make_room(void)
{
    if (count < room)
        return;
    room = room ? 2 * room : 1024;
    heap = realloc(heap, (size_t)room * sizeof *heap);
    if (!heap) {
        perror("bench: no memory");
        exit(1);
    }
}

void timer_set(struct timer *t, int64_t due)
{
    t->due = due;
    if (t->place == NOT_SET) {
        make_room();
        put(t, count++);
    }
    rise(t->place);
    sink(t->place);
}

void timer_drop(struct timer *t)
{
    int place = t->place;
    if (place == NOT_SET)
        return;
    t->place = NOT_SET;
    if (place == --count)
        return;
    struct timer *last = heap[count];
    put(last, place);
    rise(last->place);
    sink(last->place);
}

struct timer *timer_next(void)
{
    return count ? heap[0] : NULL;
}
