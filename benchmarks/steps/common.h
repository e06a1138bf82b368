/* What the steps share: an exponential that a compiler can vectorise, and how work is divided. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Part number `part` of `parts`, of n things, whole groups of `group`: from START to STOP. */
#define START(n, group, part, parts) ((((n) + (group)-1) / (group)) * (part) / (parts) * (group))
#define STOP(n, group, part, parts) MIN(n, START(n, group, (part) + 1, parts))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

static inline float fused(float a, float b, float c)
{
#ifdef __FMA__
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* exp(x) = 2^k exp(r) with a whole k and |r| <= log(2)/2, where a polynomial is enough. No branch
 * and no call, so a loop over it becomes vector instructions. */
static inline float exponential(float x)
{
    x = x < -87.f ? -87.f : x > 88.f ? 88.f : x;
    float k = __builtin_rintf(x * 1.44269504f);
    float r = fused(k, -0.693359375f, x);
    r = fused(k, 2.12194440e-4f, r);
    float p = 1.f / 5040;
    p = fused(p, r, 1.f / 720);
    p = fused(p, r, 1.f / 120);
    p = fused(p, r, 1.f / 24);
    p = fused(p, r, 1.f / 6);
    p = fused(p, r, 0.5f);
    p = fused(p, r, 1.f);
    p = fused(p, r, 1.f);
    int32_t bits = ((int32_t)k + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

static inline float sigmoid(float a) { return 1.f / (1.f + exponential(-a)); }
