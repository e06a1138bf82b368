/* The kernels for every SIMD level and dtype, and which level runs.
 *
 * The loops stand in _kernels_vector.h, _kernels_elementwise.h, _kernels_nade.h,
 * _kernels_products.h and _kernels_ancestral.h, once. Here they are included for each level that the
 * compiler can make and for each of the two dtypes, with the names of functions marked by both:
 * nade_logits_avx2_float32. One build so serves every x86-64; the best level that the CPU has is
 * chosen when the module is imported. Elsewhere, and with other compilers than gcc and clang, there
 * is only the baseline.
 */
#ifndef PYARSIMPLE_KERNELS_LEVELS_H
#define PYARSIMPLE_KERNELS_LEVELS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* GNU C's vectors, atomics and attributes; with PLAIN_C the loops that serve any other compiler. */
#if defined(__GNUC__) && !defined(PYARSIMPLE_PLAIN_C)
#define IS_GNU_C 1
#endif

#if defined(__x86_64__) && defined(IS_GNU_C)
#define HAS_X86 1
#if !defined(__clang__)
#pragma GCC target("no-mmx") /* gcc may use its registers, which are those of long double, and leave
                                them so: the caller's next long double would be NaN */
#endif
#include <immintrin.h> /* for the three things that GNU C cannot say of vectors: max, min, sqrt */
#endif

#include "_kernels_threads.h"

/* What compilers call by different names. ----------------------------------------------------- */

#if defined(IS_GNU_C)
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define BASELINE_BYTES 16 /* every x86-64 and every 64-bit Arm has vectors of 16 bytes */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif
#define LOWEST_BIT(mask) __builtin_ctz(mask)
#define PREFETCH(p) __builtin_prefetch(p)
#else
#if defined(_MSC_VER)
#define INLINE static __forceinline
#else
#define INLINE static inline
#endif
#define NOINLINE static
#define BASELINE_BYTES 0 /* no vectors: LANES is 1 */
#define UNROLL
#define PREFETCH(p) ((void)(p))
INLINE int LOWEST_BIT(uint32_t mask)
{
    int k = 0;
    while (!(mask >> k & 1))
        k++;
    return k;
}
#endif

#define JOIN_NOW(name, level, dtype) name##_##level##_##dtype
#define JOIN(name, level, dtype) JOIN_NOW(name, level, dtype)
#define NAME(name) JOIN(name, LEVEL, DTYPE)

/* The arguments of kernels. ---------------------------------------------------------------------
 *
 * Arrays are C-contiguous and of the dtype that the kernel is for, so their pointers are void.
 * Kernels return 0, or -1 when there is no memory.
 */

enum { SIGMOID, RELU, TANH, LINEAR };

struct nade {
    ptrdiff_t N, D, H;
    ptrdiff_t n_features, n_outputs; /* F, P: how many numbers the variables and the context are
                                        read as, and how many the variables are written as */
    const ptrdiff_t *features, *outputs; /* (D + 1,): where each variable's begin */
    int hidden;
    const ptrdiff_t *order;    /* (D,) */
    const void *x;             /* (N, F) */
    const void *W, *c, *V, *b; /* (F, H), (H,), (P, H), (P,) */
    const void *keep;          /* (N, H) or NULL */
    const void *d_logits;      /* (N, P) */
    void *logits;              /* (N, P) */
    void *dW, *dc, *dV, *db;
    ptrdiff_t n_known;         /* sampling: so many variables of the order are given */
    const double *uniforms;    /* (N, D) */
    void *samples;             /* (N, D), holds x at first */
};

enum { MAX_LINKS = 2 };

struct made {
    ptrdiff_t N, D;
    int n_layers; /* may be 0 */
    int hidden;
    const ptrdiff_t *order;
    const ptrdiff_t *H;              /* (n_layers,) */
    const ptrdiff_t *const *degrees; /* of each layer (H_k,), ascending */
    const void *const *W;            /* (D, H_1), (H_1, H_2), ... */
    const void *const *c;            /* (H_k,) */
    const void *V;                   /* (D, H_last); NULL without layers */
    const void *b;                   /* (D,) */
    int n_links;                     /* matrices (D, D) from x straight to the logits */
    const void *links[MAX_LINKS];
    ptrdiff_t n_known;
    const double *uniforms; /* (N, D) */
    void *samples;          /* (N, D), holds x at first */
};

struct masked {
    ptrdiff_t N, n_sources, n_targets;
    const ptrdiff_t *sources, *targets; /* degrees; a weight is free where source <= target */
    int transposed;                     /* weights are (targets, sources), not (sources, targets) */
    const void *a, *b;                  /* the factors: rows and weights, or rows and rows */
    int hidden;                         /* forward or backward through so many units; or LINEAR */
    const void *bias;                   /* forward: is added; or NULL */
    const void *h;                      /* backward: the units, shaped as the result */
    const void *keep;                   /* what multiplies the units, shaped so too; or NULL */
    void *totals;                       /* backward: the sums of the result over the rows; or NULL */
    int add;                            /* forward: to what is in out */
    void *out;
};

struct kernels {
    void (*exponential)(ptrdiff_t n, const void *x, void *result);
    void (*bernoulli_log_p)(ptrdiff_t n, const void *logits, const void *x, void *result);
    void (*bernoulli_d_logits)(ptrdiff_t n, const void *logits, const void *x, double scale,
                               void *result);
    void (*adam_update)(ptrdiff_t n, void *p, const void *g, void *m, void *v, double learning_rate,
                        double beta1, double beta2, double epsilon, double t);
    void (*average_update)(ptrdiff_t n, void *mean, const void *p, double rate);
    int (*nade_logits)(const struct nade *);
    int (*nade_backward)(const struct nade *);
    int (*nade_sample)(const struct nade *);
    int (*made_sample)(const struct made *);
    int (*masked_forward)(const struct masked *);
    int (*masked_backward)(const struct masked *);
    int (*masked_outer)(const struct masked *);
};

/* How work is cut into pieces. Results may depend on these, but not on the number of threads. */
enum {
    CHUNK = 8192,        /* numbers in a task of an elementwise kernel; a multiple of LANES */
    TILE = 16,           /* examples in a tile; a multiple of LANES; masks have a bit for each */
    FORWARD_VECS = 8,    /* NADE: vecs in a block of hidden units; */
    BACKWARD_VECS = 4,   /* in the gradient, of which more is to stay in the caches; */
    BACKWARD_TILE = 32,  /* and examples in a tile there */
    FACTOR_FEATURES = 16, /* NADE: features in a task that computes exp(-W); */
    PARTIAL_BYTES = 1 << 24, /* what the blocks' parts of the logits may take up; */
    AHEAD = 4,           /* rows of weights are fetched so many rows before their use */
    MADE_TILE = 64,      /* samples of MADE: examples in a tile, */
    MADE_RUN = 48,       /* positions in a run, */
    MADE_TARGETS = 6,    /* and targets that are summed up at a time */
    PRODUCT_DEPTH = 160, /* masked products: how much of the inner index is copied at a time; */
    PRODUCT_ROWS = 240,  /* rows in a task, a multiple of what registers hold; */
    LIST_ROWS = 16,      /* rows, or columns, in a task that lists what is not 0; */
    LIST_COLUMNS = 64,
    ZEROS_AT_ONCE = 16   /* numbers that are looked at together */
};

#include "_kernels_memory.h"

/* The levels. --------------------------------------------------------------------------------- */

#define LEVEL baseline
#define VECTOR_BYTES BASELINE_BYTES
#define X86_PS(operation) _mm_##operation##_ps
#define X86_PD(operation) _mm_##operation##_pd
#define X86_TYPE_PS __m128
#define X86_TYPE_PD __m128d
#include "_kernels_dtypes.h"
#undef LEVEL
#undef VECTOR_BYTES
#undef X86_PS
#undef X86_PD
#undef X86_TYPE_PS
#undef X86_TYPE_PD

#ifdef HAS_X86

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define LEVEL avx2
#define VECTOR_BYTES 32
#define X86_PS(operation) _mm256_##operation##_ps
#define X86_PD(operation) _mm256_##operation##_pd
#define X86_TYPE_PS __m256
#define X86_TYPE_PD __m256d
#include "_kernels_dtypes.h"
#undef LEVEL
#undef VECTOR_BYTES
#undef X86_PS
#undef X86_PD
#undef X86_TYPE_PS
#undef X86_TYPE_PD
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")
#endif
#define LEVEL avx512
#define VECTOR_BYTES 64
#define X86_PS(operation) _mm512_##operation##_ps
#define X86_PD(operation) _mm512_##operation##_pd
#define X86_TYPE_PS __m512
#define X86_TYPE_PD __m512d
#include "_kernels_dtypes.h"
#undef LEVEL
#undef VECTOR_BYTES
#undef X86_PS
#undef X86_PD
#undef X86_TYPE_PS
#undef X86_TYPE_PD
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

static const char *const level_names[] = {"baseline", "avx2", "avx512"};

static const struct kernels *const kernels_of_level[][2] = {
    {&kernels_baseline_float32, &kernels_baseline_float64},
#ifdef HAS_X86
    {&kernels_avx2_float32, &kernels_avx2_float64},
    {&kernels_avx512_float32, &kernels_avx512_float64},
#endif
};

/* The best level that this CPU (and the operating system) can run. */
static int best_level(void)
{
#ifdef HAS_X86
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq")
        || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
        return 1;
    return 2;
#else
    return 0;
#endif
}

static int level = 0; /* the one that runs */

/* The kernels of the level that runs, for float32 or float64. */
static const struct kernels *kernels_for(int is_double)
{
    return kernels_of_level[level][is_double];
}

static const char *compiler_name(void)
{
#define TEXT_NOW(x) #x
#define TEXT(x) TEXT_NOW(x)
#if defined(__VERSION__) && defined(__clang__)
    return __VERSION__;
#elif defined(__VERSION__)
    return "gcc " __VERSION__;
#elif defined(_MSC_VER)
    return "msvc " TEXT(_MSC_VER);
#else
    return "unknown";
#endif
}

#ifndef PYARSIMPLE_SOURCE_HASH
#define PYARSIMPLE_SOURCE_HASH ""
#endif
#ifndef PYARSIMPLE_CFLAGS
#define PYARSIMPLE_CFLAGS ""
#endif

#endif
