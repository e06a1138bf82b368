/* NADE's gradient given d = dL/dlogits, from the plain loop to the final form.
 *
 * x, d (N, D); W, V, dW, dV (D, H); c, dc (H,). Steps 1 to 3 divide the examples among the threads,
 * and dW, dV, dc are then one copy for each part; steps 4 to 6 divide the hidden units. */

#include "common.h"

#define TILE 16
#define BLOCK 64
#define ARGUMENTS                                                                                  \
    long part, long parts, long N, long D, long H, const float *restrict x,                        \
        const float *restrict d, const float *restrict W, const float *restrict c,                 \
        const float *restrict V, float *restrict dW, float *restrict dV, float *restrict dc

/* The part's own copy of the gradients, set to 0. */
#define OWN_COPY                                                                                   \
    dW += part * D * H, dV += part * D * H, dc += part * H;                                        \
    memset(dW, 0, D *H * sizeof *dW), memset(dV, 0, D *H * sizeof *dV);                            \
    memset(dc, 0, H * sizeof *dc)

/* Back along the variables of one example, whose hidden states (D, H) are kept. */
static void backward_dense(long D, long H, const float *restrict x, const float *restrict d,
                           const float *restrict V, const float *restrict h, float *restrict d_a,
                           float *restrict dW, float *restrict dV, float *restrict dc)
{
    memset(d_a, 0, H * sizeof *d_a);
    for (long i = D - 1; i >= 0; i--)
        for (long j = 0; j < H; j++) {
            float g = h[i * H + j];
            dW[i * H + j] += x[i] * d_a[j];
            dV[i * H + j] += d[i] * g;
            d_a[j] += d[i] * V[i * H + j] * g * (1.f - g);
        }
    for (long j = 0; j < H; j++)
        dc[j] += d_a[j];
}

/* 1: the equations as loops, with the C library's exponential; every hidden state is kept. */
void plain(ARGUMENTS)
{
    float *a = malloc((2 + D) * H * sizeof *a), *d_a = a + H, *h = a + 2 * H;
    OWN_COPY;
    for (long n = START(N, 1, part, parts); n < STOP(N, 1, part, parts); n++) {
        memcpy(a, c, H * sizeof *a);
        for (long i = 0; i < D; i++)
            for (long j = 0; j < H; j++) {
                h[i * H + j] = 1.f / (1.f + expf(-a[j]));
                a[j] += x[n * D + i] * W[i * H + j];
            }
        backward_dense(D, H, x + n * D, d + n * D, V, h, d_a, dW, dV, dc);
    }
    free(a);
}

/* 2: the same loops with an exponential that vectorises. */
void vectorised(ARGUMENTS)
{
    float *a = malloc((2 + D) * H * sizeof *a), *d_a = a + H, *h = a + 2 * H;
    OWN_COPY;
    for (long n = START(N, 1, part, parts); n < STOP(N, 1, part, parts); n++) {
        memcpy(a, c, H * sizeof *a);
        for (long i = 0; i < D; i++)
            for (long j = 0; j < H; j++) {
                h[i * H + j] = sigmoid(a[j]);
                a[j] += x[n * D + i] * W[i * H + j];
            }
        backward_dense(D, H, x + n * D, d + n * D, V, h, d_a, dW, dV, dc);
    }
    free(a);
}

/* The hidden states of one example for units j0..j0+J, only where they change: after each 1. */
static long states(long D, long H, long j0, long J, const float *restrict x,
                   const float *restrict W, const float *restrict c, float *restrict a,
                   float *restrict h)
{
    for (long j = 0; j < J; j++) {
        a[j] = c[j0 + j];
        h[j] = sigmoid(a[j]);
    }
    long k = 0;
    for (long i = 0; i < D - 1; i++)
        if (x[i] != 0) {
            k++;
            for (long j = 0; j < J; j++) {
                a[j] += x[i] * W[i * H + j0 + j];
                h[k * J + j] = sigmoid(a[j]);
            }
        }
    return k;
}

/* Back along one example: in a run of zeros d_h only adds up; it goes through g' once, at its end. */
static void backward_runs(long D, long H, long j0, long J, long k, const float *restrict x,
                          const float *restrict d, const float *restrict V,
                          const float *restrict h, float *restrict d_h, float *restrict d_a,
                          float *restrict dW, float *restrict dV, float *restrict dc)
{
    memset(d_h, 0, J * sizeof *d_h), memset(d_a, 0, J * sizeof *d_a);
    for (long i = D - 1; i >= 0; i--) {
        const float *h_k = h + k * J;
        float *dW_i = dW + i * H + j0, *dV_i = dV + i * H + j0;
        if (x[i] != 0 && i < D - 1) {
            for (long j = 0; j < J; j++) {
                d_a[j] += d_h[j] * h_k[j] * (1.f - h_k[j]);
                d_h[j] = 0;
                dW_i[j] += x[i] * d_a[j];
            }
            h_k = h + --k * J;
        }
        for (long j = 0; j < J; j++) {
            dV_i[j] += d[i] * h_k[j];
            d_h[j] += d[i] * V[i * H + j0 + j];
        }
    }
    for (long j = 0; j < J; j++)
        dc[j0 + j] += d_a[j] + d_h[j] * h[j] * (1.f - h[j]);
}

/* 3: hidden states only where they change. Threads over examples: a copy of the gradients each. */
void skipping(ARGUMENTS)
{
    float *a = malloc((3 + D) * H * sizeof *a), *d_h = a + H, *d_a = a + 2 * H, *h = a + 3 * H;
    OWN_COPY;
    for (long n = START(N, 1, part, parts); n < STOP(N, 1, part, parts); n++) {
        long k = states(D, H, 0, H, x + n * D, W, c, a, h);
        backward_runs(D, H, 0, H, k, x + n * D, d + n * D, V, h, d_h, d_a, dW, dV, dc);
    }
    free(a);
}

/* 4: threads over blocks of hidden units: each entry of the gradients belongs to one thread. There
 * are no copies to add up, and the bits do not depend on the number of threads. */
void blocked(ARGUMENTS)
{
    float *a = malloc((3 + D) * BLOCK * sizeof *a);
    float *d_h = a + BLOCK, *d_a = a + 2 * BLOCK, *h = a + 3 * BLOCK;
    for (long j0 = part * BLOCK; j0 < H; j0 += parts * BLOCK) {
        long J = MIN(BLOCK, H - j0);
        memset(dc + j0, 0, J * sizeof *dc);
        for (long i = 0; i < D; i++) {
            memset(dW + i * H + j0, 0, J * sizeof *dW);
            memset(dV + i * H + j0, 0, J * sizeof *dV);
        }
        for (long n = 0; n < N; n++) {
            long k = states(D, H, j0, J, x + n * D, W, c, a, h);
            backward_runs(D, H, j0, J, k, x + n * D, d + n * D, V, h, d_h, d_a, dW, dV, dc);
        }
    }
    free(a);
}

/* A tile of E examples, one block of J units. Rows outermost: those of V and of the gradients stay
 * in registers while the tile passes by. */
static inline __attribute__((always_inline)) void
tile_rows(long E, long J, long D, long H, long j0, const float *restrict x,
          const float *restrict d, const float *restrict V, const float **restrict h,
          float (*restrict d_h)[BLOCK], float (*restrict d_a)[BLOCK], float *restrict dW,
          float *restrict dV)
{
    for (long i = D - 1; i >= 0; i--) {
        float V_i[BLOCK], dV_i[BLOCK], dW_i[BLOCK];
        for (long j = 0; j < J; j++) {
            V_i[j] = V[i * H + j0 + j];
            dV_i[j] = dW_i[j] = 0;
        }
        for (long e = 0; e < E; e++) {
            float d_i = d[e * D + i], x_i = x[e * D + i];
            if (x_i != 0 && i < D - 1) {
                for (long j = 0; j < J; j++) {
                    d_a[e][j] += d_h[e][j] * h[e][j] * (1.f - h[e][j]);
                    d_h[e][j] = 0;
                    dW_i[j] += x_i * d_a[e][j];
                }
                h[e] -= J;
            }
            for (long j = 0; j < J; j++) {
                dV_i[j] += d_i * h[e][j];
                d_h[e][j] += d_i * V_i[j];
            }
        }
        for (long j = 0; j < J; j++) {
            dW[i * H + j0 + j] += dW_i[j];
            dV[i * H + j0 + j] += dV_i[j];
        }
    }
}

/* 5: blocks of hidden units as before and, in each, tiles of examples with the rows outermost. */
void tiled(ARGUMENTS)
{
    float *kept = malloc(TILE * (D + 1) * BLOCK * sizeof *kept), a[BLOCK];
    float d_h[TILE][BLOCK], d_a[TILE][BLOCK];
    const float *h[TILE];
    for (long j0 = part * BLOCK; j0 < H; j0 += parts * BLOCK) {
        long J = MIN(BLOCK, H - j0);
        memset(dc + j0, 0, J * sizeof *dc);
        for (long i = 0; i < D; i++) {
            memset(dW + i * H + j0, 0, J * sizeof *dW);
            memset(dV + i * H + j0, 0, J * sizeof *dV);
        }
        for (long first = 0; first < N; first += TILE) {
            long E = MIN(TILE, N - first);
            const float *x_t = x + first * D, *d_t = d + first * D;
            for (long e = 0; e < E; e++) {
                float *own = kept + e * (D + 1) * BLOCK;
                h[e] = own + J * states(D, H, j0, J, x_t + e * D, W, c, a, own);
            }
            memset(d_h, 0, sizeof d_h), memset(d_a, 0, sizeof d_a);
            if (J == BLOCK) /* a number that the compiler knows */
                tile_rows(E, BLOCK, D, H, j0, x_t, d_t, V, h, d_h, d_a, dW, dV);
            else
                tile_rows(E, J, D, H, j0, x_t, d_t, V, h, d_h, d_a, dW, dV);
            for (long e = 0; e < E; e++)
                for (long j = 0; j < J; j++)
                    dc[j0 + j] += d_a[e][j] + d_h[e][j] * h[e][j] * (1.f - h[e][j]);
        }
    }
    free(kept);
}

/* The state of one example and block: what is kept is e = exp(-a), and the hidden units h. */
struct state {
    float e[BLOCK], h[BLOCK], d_h[BLOCK], d_a[BLOCK];
};

/* A tile of E examples, one block of J units, rows outermost; no hidden state is kept. */
static inline __attribute__((always_inline)) void
tile_products(long E, long J, long D, long H, long j0, const float *restrict x,
              const float *restrict d, const float *restrict factor, const float *restrict V,
              struct state *restrict state, float *restrict dW, float *restrict dV)
{
    for (long e = 0; e < E; e++) {
        for (long i = 0; i < D - 1; i++)
            if (x[e * D + i] != 0)
                for (long j = 0; j < J; j++)
                    state[e].e[j] *= factor[i * BLOCK + j];
        for (long j = 0; j < J; j++)
            state[e].h[j] = 1.f / (1.f + state[e].e[j]);
    }
    for (long i = D - 1; i >= 0; i--) {
        float V_i[BLOCK], dV_i[BLOCK], dW_i[BLOCK], shrink[BLOCK];
        for (long j = 0; j < J; j++) {
            V_i[j] = V[i * H + j0 + j];
            shrink[j] = 1.f / factor[i * BLOCK + j];
            dV_i[j] = dW_i[j] = 0;
        }
        for (long n = 0; n < E; n++) {
            struct state *s = state + n;
            float d_i = d[n * D + i];
            if (x[n * D + i] != 0 && i < D - 1)
                for (long j = 0; j < J; j++) {
                    s->d_a[j] += s->d_h[j] * s->h[j] * (1.f - s->h[j]);
                    s->d_h[j] = 0;
                    dW_i[j] += s->d_a[j];
                    s->e[j] *= shrink[j];
                    s->h[j] = 1.f / (1.f + s->e[j]);
                }
            for (long j = 0; j < J; j++) {
                dV_i[j] += d_i * s->h[j];
                s->d_h[j] += d_i * V_i[j];
            }
        }
        for (long j = 0; j < J; j++) {
            dW[i * H + j0 + j] += dW_i[j];
            dV[i * H + j0 + j] += dV_i[j];
        }
    }
}

/* 6: exp(-a) is multiplied by exp(-W) on the way there, and divided by it on the way back. */
void products(ARGUMENTS)
{
    float *factor = malloc(D * BLOCK * sizeof *factor);
    struct state state[TILE];
    for (long j0 = part * BLOCK; j0 < H; j0 += parts * BLOCK) {
        long J = MIN(BLOCK, H - j0);
        memset(dc + j0, 0, J * sizeof *dc);
        for (long i = 0; i < D; i++) {
            memset(dW + i * H + j0, 0, J * sizeof *dW);
            memset(dV + i * H + j0, 0, J * sizeof *dV);
            for (long j = 0; j < J; j++)
                factor[i * BLOCK + j] = exponential(-W[i * H + j0 + j]);
        }
        for (long first = 0; first < N; first += TILE) {
            long E = MIN(TILE, N - first);
            const float *x_t = x + first * D, *d_t = d + first * D;
            memset(state, 0, sizeof state);
            for (long n = 0; n < E; n++)
                for (long j = 0; j < J; j++)
                    state[n].e[j] = exponential(-c[j0 + j]);
            if (J == BLOCK) /* a number that the compiler knows */
                tile_products(E, BLOCK, D, H, j0, x_t, d_t, factor, V, state, dW, dV);
            else
                tile_products(E, J, D, H, j0, x_t, d_t, factor, V, state, dW, dV);
            for (long n = 0; n < E; n++)
                for (long j = 0; j < J; j++) {
                    float h = state[n].h[j];
                    dc[j0 + j] += state[n].d_a[j] + state[n].d_h[j] * h * (1.f - h);
                }
        }
    }
    free(factor);
}
