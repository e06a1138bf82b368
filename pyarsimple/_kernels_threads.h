/* A small pool of threads for the kernels.
 *
 * run_tasks(threads, n_tasks, function, context) calls function(context, task, slot) once for each
 * task in 0..n_tasks-1. Which thread gets which task is left to chance, so a kernel's tasks must
 * write to separate places and add up nothing across tasks: then its results do not depend on the
 * number of threads. `slot` is below `threads` and belongs to one thread during the call: it
 * tells the task which scratch memory is its own.
 *
 * - The workers are started when first needed and stay. Between jobs they spin for some hundred
 *   microseconds, for the next kernel often follows at once, and then sleep.
 * - The caller works too, and waits only for workers that have joined the job: one that wakes up
 *   too late finds the job closed.
 * - If the pool is busy (two Python threads call kernels at once), the second caller does all
 *   its tasks by itself.
 * - After fork() a child has no workers; its pool starts afresh.
 *
 * Without POSIX threads and GNU C's atomics (MSVC) all tasks are run by the caller.
 */
#ifndef PYARSIMPLE_KERNELS_THREADS_H
#define PYARSIMPLE_KERNELS_THREADS_H

#include <stddef.h>

typedef void (*task_function)(void *context, ptrdiff_t task, int slot);

enum { MAX_THREADS = 256 };

static int num_threads = 1; /* how many a kernel may use, the caller among them */

/* How many threads are worth their start for so many multiply-adds (or as costly steps). */
static int threads_for(double work)
{
    const double least = 1.5e5; /* per thread; some ten microseconds */
    double useful = work / least;
    return useful < 2 ? 1 : useful < num_threads ? (int)useful : num_threads;
}

#if defined(IS_GNU_C) && !defined(_WIN32) && !defined(__EMSCRIPTEN__) && !defined(__wasi__)
#define HAS_THREADS 1

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>

static struct {
    /* The job. Written by its caller before `open` becomes 1. */
    task_function function;
    void *context;
    ptrdiff_t n_tasks;
    int helpers;    /* workers 0..helpers-1 may join */
    ptrdiff_t next; /* the next task to be claimed */
    int open;       /* whether workers may join */
    int inside;     /* workers that have joined and not left */
    /* The workers. */
    unsigned generation; /* counts the jobs; a worker waits until it changes */
    int n_workers;
    int busy; /* held by the thread whose job it is */
    pthread_mutex_t mutex;
    struct {
        int asleep;
        pthread_cond_t wake;
    } worker[MAX_THREADS];
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void pool_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static double pool_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Claim tasks until none is left. */
static void pool_work(int slot)
{
    task_function function = pool.function;
    void *context = pool.context;
    ptrdiff_t n_tasks = pool.n_tasks, task;
    while ((task = __atomic_fetch_add(&pool.next, 1, __ATOMIC_RELAXED)) < n_tasks)
        function(context, task, slot);
}

/* Whether there is a job that worker `me` has not seen and may join. */
static int pool_calls(int me, unsigned seen)
{
    return __atomic_load_n(&pool.generation, __ATOMIC_SEQ_CST) != seen
        && me < __atomic_load_n(&pool.helpers, __ATOMIC_RELAXED);
}

/* Wait for such a job: first spinning, then asleep. One that was not wanted last time, because fewer
 * threads are to be used than before, sleeps at once: it would spin on a core that others need. */
static void pool_await(int me, unsigned seen)
{
    const double patience = 200e-6;
    double start = pool_seconds();
    while (me < __atomic_load_n(&pool.helpers, __ATOMIC_RELAXED)
           && pool_seconds() - start < patience)
        for (int k = 0; k < 64; k++) {
            if (pool_calls(me, seen))
                return;
            pool_pause();
        }
    pthread_mutex_lock(&pool.mutex);
    __atomic_store_n(&pool.worker[me].asleep, 1, __ATOMIC_SEQ_CST);
    while (!pool_calls(me, seen))
        pthread_cond_wait(&pool.worker[me].wake, &pool.mutex);
    __atomic_store_n(&pool.worker[me].asleep, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&pool.mutex);
}

/* Wake the workers that may join the job and are asleep. */
static void pool_wake(void)
{
    for (int k = 0; k < pool.helpers; k++)
        if (__atomic_load_n(&pool.worker[k].asleep, __ATOMIC_SEQ_CST)) {
            pthread_mutex_lock(&pool.mutex);
            pthread_cond_signal(&pool.worker[k].wake);
            pthread_mutex_unlock(&pool.mutex);
        }
}

static void *pool_worker(void *number)
{
    int me = (int)(ptrdiff_t)number;
    unsigned seen = 0; /* perhaps not the latest: then one look too many at a closed job */
    for (;;) {
        pool_await(me, seen);
        seen = __atomic_load_n(&pool.generation, __ATOMIC_SEQ_CST);
        /* Join first, then look whether the job is open; its caller closes it first and then
         * looks whether anybody is inside. One of the two sees the other. */
        __atomic_fetch_add(&pool.inside, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&pool.open, __ATOMIC_SEQ_CST) && me < pool.helpers)
            pool_work(me + 1);
        __atomic_fetch_sub(&pool.inside, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void pool_after_fork_in_child(void)
{
    memset(&pool, 0, sizeof pool);
    pthread_mutex_init(&pool.mutex, NULL);
}

/* Start workers until there are `wanted`; returns how many there are. Called by the job's owner. */
static int pool_start(int wanted)
{
    static int registered = 0;
    if (!registered) {
        if (pthread_atfork(NULL, NULL, pool_after_fork_in_child) != 0)
            return 0;
        registered = 1;
    }
    if (pool.n_workers >= wanted)
        return wanted;
    sigset_t all, before; /* signals are for Python's threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.n_workers < wanted) {
        pthread_t thread;
        pthread_cond_init(&pool.worker[pool.n_workers].wake, NULL);
        if (pthread_create(&thread, NULL, pool_worker, (void *)(ptrdiff_t)pool.n_workers) != 0)
            break;
        pthread_detach(thread);
        pool.n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool.n_workers;
}

static void run_tasks(int threads, ptrdiff_t n_tasks, task_function function, void *context)
{
    int helpers = (threads < n_tasks ? threads : (int)n_tasks) - 1;
    if (helpers > 0 && !__atomic_exchange_n(&pool.busy, 1, __ATOMIC_ACQUIRE)) {
        pool.function = function;
        pool.context = context;
        pool.n_tasks = n_tasks;
        pool.next = 0;
        __atomic_store_n(&pool.helpers, pool_start(helpers), __ATOMIC_RELAXED);
        __atomic_store_n(&pool.open, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&pool.generation, 1, __ATOMIC_SEQ_CST);
        pool_wake();
        pool_work(0);
        __atomic_store_n(&pool.open, 0, __ATOMIC_SEQ_CST);
        for (int k = 0; __atomic_load_n(&pool.inside, __ATOMIC_SEQ_CST) != 0; k++) {
            if (k < 1000)
                pool_pause();
            else
                sched_yield(); /* the worker has perhaps lost its CPU to somebody else */
        }
        __atomic_store_n(&pool.busy, 0, __ATOMIC_RELEASE);
        return;
    }
    for (ptrdiff_t task = 0; task < n_tasks; task++)
        function(context, task, 0);
}

#else
#define HAS_THREADS 0

static void run_tasks(int threads, ptrdiff_t n_tasks, task_function function, void *context)
{
    (void)threads;
    for (ptrdiff_t task = 0; task < n_tasks; task++)
        function(context, task, 0);
}

#endif
#endif
