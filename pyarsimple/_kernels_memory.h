/* Memory for scratch and for results, kept for the next call.
 *
 * A model that is trained asks for blocks of the same sizes at every step. The C library gives large
 * blocks back to the operating system when they are free and fetches them anew, page by page: with
 * two threads that took as long as the gradient of a NADE itself. So free blocks wait here for the
 * next call, KEPT_BYTES of them at most; who waits longest goes first.
 *
 * A lock that is held by somebody else is not waited for: then the C library serves this once. So
 * nothing can hang, not even after a fork at the wrong moment. Without GNU C's atomics, and under
 * the address sanitizer, which shall see every block's end, it always does.
 */
#ifndef PYARSIMPLE_KERNELS_MEMORY_H
#define PYARSIMPLE_KERNELS_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    ALIGNMENT = 64,        /* in bytes: a line of the caches, and the longest vector */
    MOST_BLOCKS = 64,      /* that are kept, */
    KEPT_BYTES = 64 << 20, /* and how much they hold together */
    LEAST_BYTES = 64 << 10 /* smaller ones the C library keeps itself */
};

INLINE size_t rounded_up(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

#if defined(__SANITIZE_ADDRESS__)

static void *memory_get(size_t bytes)
{
    void *p;
    return posix_memalign(&p, ALIGNMENT, bytes) == 0 ? p : NULL;
}

static void memory_put(void *p) { free(p); }

#else

/* Stands before each block. */
struct memory_head {
    void *start; /* as the C library gave it */
    size_t bytes;
};

static struct memory_head *memory_head(void *p)
{
    return (struct memory_head *)((char *)p - ALIGNMENT);
}

#if defined(IS_GNU_C)

static struct {
    int locked, n_blocks;
    size_t bytes;
    void *block[MOST_BLOCKS]; /* who came first stands first */
} kept;

static int memory_lock(void) { return !__atomic_exchange_n(&kept.locked, 1, __ATOMIC_ACQUIRE); }

static void memory_unlock(void) { __atomic_store_n(&kept.locked, 0, __ATOMIC_RELEASE); }

static void *memory_remove(int k)
{
    void *p = kept.block[k];
    kept.bytes -= memory_head(p)->bytes;
    kept.n_blocks--;
    for (; k < kept.n_blocks; k++)
        kept.block[k] = kept.block[k + 1];
    return p;
}

/* The block that fits best, if at most a quarter of it would be wasted. */
static void *memory_find(size_t bytes)
{
    int best = -1;
    if (bytes < LEAST_BYTES || !memory_lock())
        return NULL;
    for (int k = 0; k < kept.n_blocks; k++) {
        size_t has = memory_head(kept.block[k])->bytes;
        if (has >= bytes && has - bytes <= has / 4
            && (best < 0 || has < memory_head(kept.block[best])->bytes))
            best = k;
    }
    void *p = best < 0 ? NULL : memory_remove(best);
    memory_unlock();
    return p;
}

/* Keep a block that is free. Returns whether it was. */
static int memory_keep(void *p)
{
    size_t bytes = memory_head(p)->bytes;
    void *gone[MOST_BLOCKS];
    int n_gone = 0;
    if (bytes < LEAST_BYTES || bytes > KEPT_BYTES || !memory_lock())
        return 0;
    while (kept.n_blocks == MOST_BLOCKS || kept.bytes + bytes > KEPT_BYTES)
        gone[n_gone++] = memory_remove(0);
    kept.block[kept.n_blocks++] = p;
    kept.bytes += bytes;
    memory_unlock();
    while (n_gone > 0)
        free(memory_head(gone[--n_gone])->start);
    return 1;
}

#else

static void *memory_find(size_t bytes) { return (void)bytes, NULL; }

static int memory_keep(void *p) { return (void)p, 0; }

#endif

/* A block of memory, aligned as vectors like it; NULL if there is none. */
static void *memory_get(size_t bytes)
{
    void *p = memory_find(bytes);
    if (p != NULL)
        return p;
    char *start = bytes < SIZE_MAX - 2 * ALIGNMENT ? malloc(bytes + 2 * ALIGNMENT) : NULL;
    if (start == NULL)
        return NULL;
    p = start + 2 * ALIGNMENT - (uintptr_t)start % ALIGNMENT;
    *memory_head(p) = (struct memory_head){start, bytes};
    return p;
}

/* The block, or NULL, is no longer needed. */
static void memory_put(void *p)
{
    if (p != NULL && !memory_keep(p))
        free(memory_head(p)->start);
}

#endif

/* Parts of a block: `bytes` of it, from `*place` on, which then points behind them. */
INLINE void *take(char **place, size_t bytes)
{
    void *taken = *place;
    *place += rounded_up(bytes);
    return taken;
}

#endif
