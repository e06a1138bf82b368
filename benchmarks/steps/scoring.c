/* NADE's logits, from the plain loop to the final form, one step at a time.
 *
 * x, z (N, D); W, V (D, H); c (H,); b (D,). Each function does its part of the work: of the examples
 * or, in the last step, of the hidden units. */

#include "common.h"

#define TILE 16
#define BLOCK 128
#define ARGUMENTS                                                                                  \
    long part, long parts, long N, long D, long H, const float *restrict x,                        \
        const float *restrict W, const float *restrict c, const float *restrict V,                 \
        const float *restrict b, float *restrict z

/* 1: the equations as loops, with the C library's exponential. */
void plain(ARGUMENTS)
{
    float *a = malloc(H * sizeof *a);
    for (long n = START(N, 1, part, parts); n < STOP(N, 1, part, parts); n++) {
        memcpy(a, c, H * sizeof *a);
        for (long i = 0; i < D; i++) {
            float sum = b[i];
            for (long j = 0; j < H; j++)
                sum += V[i * H + j] / (1.f + expf(-a[j]));
            z[n * D + i] = sum;
            for (long j = 0; j < H; j++)
                a[j] += x[n * D + i] * W[i * H + j];
        }
    }
    free(a);
}

/* 2: the same loops with an exponential that vectorises. */
void vectorised(ARGUMENTS)
{
    float *a = malloc(H * sizeof *a);
    for (long n = START(N, 1, part, parts); n < STOP(N, 1, part, parts); n++) {
        memcpy(a, c, H * sizeof *a);
        for (long i = 0; i < D; i++) {
            float sum = b[i];
            for (long j = 0; j < H; j++)
                sum += V[i * H + j] * sigmoid(a[j]);
            z[n * D + i] = sum;
            for (long j = 0; j < H; j++)
                a[j] += x[n * D + i] * W[i * H + j];
        }
    }
    free(a);
}

/* 3: the hidden units are computed again only after a bit that is 1: exact, and most are not. */
void skipping(ARGUMENTS)
{
    float *a = malloc(2 * H * sizeof *a), *h = a + H;
    for (long n = START(N, 1, part, parts); n < STOP(N, 1, part, parts); n++) {
        memcpy(a, c, H * sizeof *a);
        for (long j = 0; j < H; j++)
            h[j] = sigmoid(a[j]);
        for (long i = 0; i < D; i++) {
            float sum = b[i];
            for (long j = 0; j < H; j++)
                sum += V[i * H + j] * h[j];
            z[n * D + i] = sum;
            if (x[n * D + i] != 0)
                for (long j = 0; j < H; j++) {
                    a[j] += x[n * D + i] * W[i * H + j];
                    h[j] = sigmoid(a[j]);
                }
        }
    }
    free(a);
}

/* 4: a tile of examples walks along together, so that rows of V and W come from the nearest cache. */
void tiled(ARGUMENTS)
{
    float *a = malloc(2 * TILE * H * sizeof *a), *h = a + TILE * H;
    long stop = STOP(N, TILE, part, parts);
    for (long first = START(N, TILE, part, parts); first < stop; first += TILE) {
        long E = MIN(TILE, stop - first);
        for (long e = 0; e < E; e++)
            for (long j = 0; j < H; j++) {
                a[e * H + j] = c[j];
                h[e * H + j] = sigmoid(c[j]);
            }
        for (long i = 0; i < D; i++)
            for (long e = 0; e < E; e++) {
                float sum = b[i], x_i = x[(first + e) * D + i];
                for (long j = 0; j < H; j++)
                    sum += V[i * H + j] * h[e * H + j];
                z[(first + e) * D + i] = sum;
                if (x_i != 0)
                    for (long j = 0; j < H; j++) {
                        a[e * H + j] += x_i * W[i * H + j];
                        h[e * H + j] = sigmoid(a[e * H + j]);
                    }
            }
    }
    free(a);
}

/* One block of hidden units, whose states lie in the first-level cache; adds to z. */
static void block(long first, long E, long j0, long J, long D, long H, const float *restrict x,
                  const float *restrict W, const float *restrict c, const float *restrict V,
                  float *restrict z)
{
    float a[TILE][BLOCK], h[TILE][BLOCK];
    for (long e = 0; e < E; e++)
        for (long j = 0; j < J; j++) {
            a[e][j] = c[j0 + j];
            h[e][j] = sigmoid(c[j0 + j]);
        }
    for (long i = 0; i < D; i++) {
        const float *V_i = V + i * H + j0, *W_i = W + i * H + j0;
        for (long e = 0; e < E; e++) {
            float sum = 0, x_i = x[(first + e) * D + i];
            for (long j = 0; j < J; j++)
                sum += V_i[j] * h[e][j];
            z[(first + e) * D + i] += sum;
            if (x_i != 0)
                for (long j = 0; j < J; j++) {
                    a[e][j] += x_i * W_i[j];
                    h[e][j] = sigmoid(a[e][j]);
                }
        }
    }
}

/* 5: the hidden units are divided into blocks, each with logits of its own, partial sums; the
 * threads share the blocks, and what they wrote is added up in a fixed order: the same bits for any
 * number of threads. z has room for all the blocks' logits, (blocks, N, D). */
void blocked(ARGUMENTS)
{
    (void)b;
    long blocks = (H + BLOCK - 1) / BLOCK;
    for (long k = part; k < blocks; k += parts) {
        float *mine = z + k * N * D;
        memset(mine, 0, N * D * sizeof *mine);
        for (long first = 0; first < N; first += TILE)
            block(first, MIN(TILE, N - first), k * BLOCK, MIN(BLOCK, H - k * BLOCK), D, H, x, W, c,
                  V, mine);
    }
}

/* 6: what is kept is e = exp(-a): where x_i is 1, adding W_i to a is multiplying e by exp(-W_i), which
 * is computed once for all examples. What is left of an exponential is a division. (The library
 * also looks whether e is about to leave the numbers, and goes back to a then; this does not.) */
void products(ARGUMENTS)
{
    (void)b;
    long blocks = (H + BLOCK - 1) / BLOCK;
    float(*factor)[BLOCK] = malloc(D * sizeof *factor), e[TILE][BLOCK], h[TILE][BLOCK];
    for (long k = part; k < blocks; k += parts) {
        long j0 = k * BLOCK, J = MIN(BLOCK, H - j0);
        float *mine = z + k * N * D;
        for (long i = 0; i < D; i++)
            for (long j = 0; j < J; j++)
                factor[i][j] = exponential(-W[i * H + j0 + j]);
        for (long first = 0; first < N; first += TILE) {
            long E = MIN(TILE, N - first);
            for (long n = 0; n < E; n++)
                for (long j = 0; j < J; j++) {
                    e[n][j] = exponential(-c[j0 + j]);
                    h[n][j] = 1.f / (1.f + e[n][j]);
                }
            for (long i = 0; i < D; i++)
                for (long n = 0; n < E; n++) {
                    float sum = 0;
                    for (long j = 0; j < J; j++)
                        sum += V[i * H + j0 + j] * h[n][j];
                    mine[(first + n) * D + i] = sum;
                    if (x[(first + n) * D + i] != 0)
                        for (long j = 0; j < J; j++) {
                            e[n][j] *= factor[i][j];
                            h[n][j] = 1.f / (1.f + e[n][j]);
                        }
                }
        }
    }
    free(factor);
}
