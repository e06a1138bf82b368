/* Vectors of `real` numbers and the functions of them that the kernels use.
 *
 * This file is included once for each SIMD level and dtype (see _kernels_levels.h), which has
 * defined `real` and `integer` (unsigned, of the same size), IS_DOUBLE, LANES and NAME. A `vec`
 * holds LANES numbers and knows + - * / lane by lane, also with a number on one side. That is GNU
 * C's vector extension; where it is missing LANES is 1 and a vec is just a number.
 *
 * a * b + c is contracted to one fused multiply-add where the level has it.
 */

#define vec NAME(vec_type)
#define ivec NAME(ivec_type)

#if LANES > 1
typedef real vec __attribute__((vector_size(LANES * sizeof(real))));
typedef integer ivec __attribute__((vector_size(LANES * sizeof(real))));
typedef vec NAME(vec_in_memory) __attribute__((aligned(sizeof(real)), may_alias));
#else
typedef real vec;
typedef integer ivec;
typedef real NAME(vec_in_memory);
#endif

/* LANES numbers from p on, at any address, and to there. */
#define v_load NAME(v_load)
INLINE vec v_load(const real *p) { return *(const NAME(vec_in_memory) *)p; }

#define v_store NAME(v_store)
INLINE void v_store(real *p, vec v) { *(NAME(vec_in_memory) *)p = v; }

/* The same number in all lanes. */
#define v_set NAME(v_set)
INLINE vec v_set(real x) { return x - (vec){0}; }

/* The bits of a vec as integers, and back. */
#define v_bits NAME(v_bits)
INLINE ivec v_bits(vec v)
{
    union {
        vec v;
        ivec i;
    } u = {v};
    return u.i;
}

#define v_from_bits NAME(v_from_bits)
INLINE vec v_from_bits(ivec i)
{
    union {
        ivec i;
        vec v;
    } u = {i};
    return u.v;
}

/* All bits in the first `count` (0..LANES) lanes, none in the others. */
#define first_lanes NAME(first_lanes)
#define ALL (~(integer)0)
INLINE ivec first_lanes(ptrdiff_t count)
{
    static const integer masks[32] = {ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL,
                                      ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL}; /* and 16 zeros */
    ivec mask;
    memcpy(&mask, masks + 16 - count, sizeof mask);
    return mask;
}

/* The first `count` (1..LANES) numbers at p, and zeros. What lies between them and `end`, where
 * p's array ends, may be read but does not matter, even if it is NaN. */
#define v_load_part NAME(v_load_part)
INLINE vec v_load_part(const real *p, ptrdiff_t count, const real *end)
{
    real some[LANES] = {0};
    if (end - p >= LANES)
        return v_from_bits(v_bits(v_load(p)) & first_lanes(count));
    for (ptrdiff_t k = 0; k < count; k++)
        some[k] = p[k];
    return v_load(some);
}

/* Write the first `count` lanes. */
#define v_store_part NAME(v_store_part)
INLINE void v_store_part(real *p, vec v, ptrdiff_t count)
{
    real all[LANES];
    v_store(all, v);
    for (ptrdiff_t k = 0; k < count; k++)
        p[k] = all[k];
}

/* a < b, lane by lane: all bits or none; with NaN it is none. */
#define v_less NAME(v_less)
INLINE ivec v_less(vec a, vec b)
{
#if LANES > 1
    return (ivec)(a < b);
#else
    return a < b ? ~(integer)0 : 0;
#endif
}

/* a == b, lane by lane: all bits or none; with NaN it is none. */
#define v_equal NAME(v_equal)
INLINE ivec v_equal(vec a, vec b)
{
#if LANES > 1
    return (ivec)(a == b);
#else
    return a == b ? ~(integer)0 : 0;
#endif
}

/* Whether the first bit, the sign, is set in any lane. */
#define v_any_sign NAME(v_any_sign)
INLINE int v_any_sign(ivec v)
{
#if defined(HAS_X86) && VECTOR_BYTES == 64
#if IS_DOUBLE
    return _mm512_movepi64_mask((__m512i)v) != 0;
#else
    return _mm512_movepi32_mask((__m512i)v) != 0;
#endif
#elif defined(HAS_X86)
    return X86(movemask)((X86_TYPE)v) != 0;
#else
    integer all[LANES], any = 0;
    memcpy(all, &v, sizeof all);
    for (int k = 0; k < LANES; k++)
        any |= all[k];
    return any >> (8 * sizeof any - 1) != 0;
#endif
}

/* x in the lanes where all bits are set, y where none are. */
#define v_choose NAME(v_choose)
INLINE vec v_choose(ivec yes, vec x, vec y)
{
    return v_from_bits((v_bits(x) & yes) | (v_bits(y) & ~yes));
}

/* a < b ? x : y */
#define v_if_less NAME(v_if_less)
INLINE vec v_if_less(vec a, vec b, vec x, vec y) { return v_choose(v_less(a, b), x, y); }

/* The larger and the smaller; x where that is NaN. One instruction on x86, if one asks for it. */
#define v_max NAME(v_max)
#define v_min NAME(v_min)
#ifdef HAS_X86
INLINE vec v_max(vec bound, vec x) { return (vec)X86(max)((X86_TYPE)bound, (X86_TYPE)x); }
INLINE vec v_min(vec bound, vec x) { return (vec)X86(min)((X86_TYPE)bound, (X86_TYPE)x); }
#else
INLINE vec v_max(vec bound, vec x) { return v_if_less(x, bound, bound, x); }
INLINE vec v_min(vec bound, vec x) { return v_if_less(bound, x, bound, x); }
#endif

/* At least low and at most high; NaN stays. */
#define v_clamp NAME(v_clamp)
INLINE vec v_clamp(vec x, real low, real high)
{
    return v_min(v_set(high), v_max(v_set(low), x));
}

#define v_abs NAME(v_abs)
INLINE vec v_abs(vec x)
{
    return v_from_bits(v_bits(x) & (integer)(IS_DOUBLE ? INT64_MAX : INT32_MAX));
}

#define v_sqrt NAME(v_sqrt)
#ifdef HAS_X86
INLINE vec v_sqrt(vec x) { return (vec)X86(sqrt)((X86_TYPE)x); }
#else
INLINE vec v_sqrt(vec x)
{
    real all[LANES];
    v_store(all, x);
    for (int k = 0; k < LANES; k++)
        all[k] = IS_DOUBLE ? (real)sqrt((double)all[k]) : (real)sqrtf((float)all[k]);
    return v_load(all);
}
#endif

/* 1 / x, where that is a normal number, to 1 ulp. Division is slow where vecs are long; an estimate
 * of 14 bits is mended instead, each time to twice as many, by Newton's method. */
#define v_reciprocal NAME(v_reciprocal)
#if defined(HAS_X86) && VECTOR_BYTES == 64
INLINE vec v_reciprocal(vec x)
{
    vec r = (vec)X86(rcp14)((X86_TYPE)x);
    UNROLL
    for (int k = 0; k < (IS_DOUBLE ? 2 : 1); k++) {
        vec missing = 1 - x * r;
        r = r + r * missing;
    }
    return r;
}
#else
INLINE vec v_reciprocal(vec x) { return 1 / x; }
#endif

/* Interleave and sum lanes. ------------------------------------------------------------------- */

/* LOW, HIGH: the first halves of two vecs lane by lane, and the second halves.
 * EVEN, ODD: every other lane of the first and of the second, by parts of 16 bytes, in which they
 * are best shuffled. EVEN_PARTS, ODD_PARTS: every other part. */
#if LANES == 2
#define LOW_LANES 0, 2
#define HIGH_LANES 1, 3
#define EVEN_LANES 0, 2
#define ODD_LANES 1, 3
#define EVEN_PARTS 0, 1
#define ODD_PARTS 2, 3
#elif LANES == 4
#define LOW_LANES 0, 4, 1, 5
#define HIGH_LANES 2, 6, 3, 7
#if IS_DOUBLE
#define EVEN_LANES 0, 4, 2, 6
#define ODD_LANES 1, 5, 3, 7
#define EVEN_PARTS 0, 1, 4, 5
#define ODD_PARTS 2, 3, 6, 7
#else
#define EVEN_LANES 0, 2, 4, 6
#define ODD_LANES 1, 3, 5, 7
#define EVEN_PARTS 0, 1, 2, 3
#define ODD_PARTS 4, 5, 6, 7
#endif
#elif LANES == 8
#define LOW_LANES 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_LANES 4, 12, 5, 13, 6, 14, 7, 15
#if IS_DOUBLE
#define EVEN_LANES 0, 8, 2, 10, 4, 12, 6, 14
#define ODD_LANES 1, 9, 3, 11, 5, 13, 7, 15
#define EVEN_PARTS 0, 1, 4, 5, 8, 9, 12, 13
#define ODD_PARTS 2, 3, 6, 7, 10, 11, 14, 15
#else
#define EVEN_LANES 0, 2, 8, 10, 4, 6, 12, 14
#define ODD_LANES 1, 3, 9, 11, 5, 7, 13, 15
#define EVEN_PARTS 0, 1, 2, 3, 8, 9, 10, 11
#define ODD_PARTS 4, 5, 6, 7, 12, 13, 14, 15
#endif
#elif LANES == 16
#define LOW_LANES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_LANES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define EVEN_LANES 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30
#define ODD_LANES 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31
#define EVEN_PARTS 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define ODD_PARTS 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#endif

/* The sum of the lanes of each of s[0], ..., s[LANES-1], as one vec. s is overwritten.
 *
 * Neighbouring lanes are added, and the sums of two vecs fit into one; so log2(LANES) rounds do it,
 * the first within parts of 16 bytes. Each vec's lanes are added in the same order. */
#define v_sums NAME(v_sums)
INLINE vec v_sums(vec *s)
{
#if LANES > 1
    UNROLL
    for (int n = LANES / 2; n >= 1; n /= 2)
        UNROLL
        for (int k = 0; k < n; k++)
            s[k] = LANES / n * (int)sizeof(real) <= 16
                 ? SHUFFLE(s[2 * k], s[2 * k + 1], EVEN_LANES)
                 + SHUFFLE(s[2 * k], s[2 * k + 1], ODD_LANES)
                 : SHUFFLE(s[2 * k], s[2 * k + 1], EVEN_PARTS)
                 + SHUFFLE(s[2 * k], s[2 * k + 1], ODD_PARTS);
#endif
    return s[0];
}

/* Transpose the matrix of which r[0], ..., r[LANES-1] are the rows.
 *
 * Interleaving the first half of the rows with the second, like a deck of cards, puts what was log2
 * bit k of the row's number into the column's; after log2(LANES) rounds they have changed
 * places. */
#define v_transpose NAME(v_transpose)
INLINE void v_transpose(vec *r)
{
#if LANES > 1
    UNROLL
    for (int round = 1; round < LANES; round *= 2) {
        vec t[LANES];
        UNROLL
        for (int k = 0; k < LANES / 2; k++) {
            t[2 * k] = SHUFFLE(r[k], r[k + LANES / 2], LOW_LANES);
            t[2 * k + 1] = SHUFFLE(r[k], r[k + LANES / 2], HIGH_LANES);
        }
        UNROLL
        for (int k = 0; k < LANES; k++)
            r[k] = t[k];
    }
#else
    (void)r;
#endif
}

#undef LOW_LANES
#undef HIGH_LANES
#undef EVEN_LANES
#undef ODD_LANES
#undef EVEN_PARTS
#undef ODD_PARTS

/* The exponential and what follows from it. ------------------------------------------------------
 *
 * exp(x) = 2^n exp(r),   n = the integer nearest to x / ln 2,   r = x - n ln 2,  |r| <= ln(2) / 2
 *
 * - n: adding `rounder`, 1.5 times 2^(bits of the mantissa), leaves no bits for a fraction, so the
 *   sum is rounded to an integer, which then stands in the lowest bits of its representation.
 * - r: ln 2 is split in two, of which the first has so few bits that n times it is exact.
 * - exp(r) = 1 + r + r^2 q(r), where q is the polynomial that interpolates (exp(r) - 1 - r) / r^2
 *   at the Chebyshev nodes of the interval, computed with 50 digits and rounded. The relative error
 *   of exp(r) from the polynomial alone is 1.1e-8 (degree 4, float) and 1.7e-17 (9, double).
 * - 2^n: n plus the exponent's bias, shifted to where the exponent is stored.
 */

/* q(r), and *r, *n; *rounded holds n in its lowest bits. */
#define v_exp_reduce NAME(v_exp_reduce)
INLINE vec v_exp_reduce(vec x, vec *r, vec *n, vec *rounded)
{
#if IS_DOUBLE
    const real rounder = 6755399441055744.0, log2_e = 1.4426950408889634;
    const real ln2_first = 0.6931471803691238, ln2_rest = 1.9082149292705877e-10;
    static const real q[] = {
        0.5, 0.16666666666666669, 0.04166666666662399, 0.008333333333330051,
        0.0013888888917281794, 0.00019841269863105968, 2.480152119021773e-05,
        2.7557268378684192e-06, 2.7620138719733994e-07, 2.5100424157005067e-08};
    enum { DEGREE = 9 };
#else
    const real rounder = 12582912.0f, log2_e = 1.44269504f;
    const real ln2_first = 0.693359375f, ln2_rest = -2.12194440e-4f;
    static const real q[] = {
        0.5f, 0.16666576845993977f, 0.04166655443768594f, 0.008363202971575855f,
        0.0013926213466332444f};
    enum { DEGREE = 4 };
#endif
    *rounded = x * log2_e + rounder;
    *n = *rounded - rounder;
    *r = x - *n * ln2_first;
    *r = *r - *n * ln2_rest;
    vec sum = v_set(q[DEGREE]);
    UNROLL
    for (int k = DEGREE - 1; k >= 0; k--)
        sum = sum * *r + q[k];
    return sum;
}

#if IS_DOUBLE
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define EXP_UNDERFLOWS (-746.)
#define EXP_OVERFLOWS 710.
#define EXP_NORMAL_LOW (-708.)
#define EXP_NORMAL_HIGH 709.
#else
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define EXP_UNDERFLOWS (-104.f)
#define EXP_OVERFLOWS 89.f
#define EXP_NORMAL_LOW (-87.f)
#define EXP_NORMAL_HIGH 88.f
#endif

/* 2^n, where the lowest bits of `rounded` are n, within the exponents of normal numbers. */
#define v_power_of_two NAME(v_power_of_two)
INLINE vec v_power_of_two(vec rounded)
{
    return v_from_bits((v_bits(rounded) + EXPONENT_BIAS) << MANTISSA_BITS);
}

/* exp(x) for any x, to about 1 ulp: denormal numbers, 0 and infinity where they belong. */
#define v_exp NAME(v_exp)
INLINE vec v_exp(vec x)
{
    const real rounder = (real)(1.5 * ((integer)1 << MANTISSA_BITS));
    vec r, n, rounded;
    vec q = v_exp_reduce(v_clamp(x, EXP_UNDERFLOWS, EXP_OVERFLOWS), &r, &n, &rounded);
    vec e = 1 + r * (1 + r * q);
    vec first = n * (real)0.5 + rounder; /* 2^n in two factors, for it may itself be no number */
    vec second = n - (first - rounder) + rounder;
    return e * v_power_of_two(first) * v_power_of_two(second);
}

/* The same where the result is a normal number; outside it stays at the last one. */
#define v_exp_normal NAME(v_exp_normal)
INLINE vec v_exp_normal(vec x)
{
    vec r, n, rounded;
    vec q = v_exp_reduce(v_clamp(x, EXP_NORMAL_LOW, EXP_NORMAL_HIGH), &r, &n, &rounded);
    return (1 + r * (1 + r * q)) * v_power_of_two(rounded);
}

/* The same where 1 / exp(x) is a normal number too; outside it is NaN. */
#define v_exp_or_nan NAME(v_exp_or_nan)
INLINE vec v_exp_or_nan(vec x)
{
    const real high = EXP_NORMAL_HIGH - 2;
    ivec inside = v_equal(x, v_clamp(x, -high, high));
    return v_from_bits(v_bits(v_exp_normal(x)) | ~inside);
}

/* 1 / (1 + exp(-z)). For hidden units: below the smallest normal number it stays there. */
#define v_sigmoid NAME(v_sigmoid)
INLINE vec v_sigmoid(vec z)
{
    return 1 / (1 + v_exp_normal(-z));
}

/* The same, to a relative error of a few ulp for any z. */
#define v_sigmoid_exact NAME(v_sigmoid_exact)
INLINE vec v_sigmoid_exact(vec z)
{
    vec e = v_exp(-v_abs(z));
    return v_if_less(z, v_set(0), e, v_set(1)) / (1 + e);
}

/* tanh(z) = d / (d + 2) with d = exp(2 z) - 1, which comes without cancellation as
 * 2^n (r + r^2 q(r)) + (2^n - 1). */
#define v_tanh NAME(v_tanh)
INLINE vec v_tanh(vec z)
{
    vec r, n, rounded;
    vec q = v_exp_reduce(v_clamp(z * 2, -40, 40), &r, &n, &rounded);
    vec scale = v_power_of_two(rounded);
    vec d = scale * (r + r * r * q) + (scale - 1);
    return d / (d + 2);
}

/* 2 atanh(u) = log((1 + u) / (1 - u)) for |u| <= 1/3.
 *
 * It is 2 u (1 + w g(w)) with w = u^2; g interpolates (atanh(u) / u - 1) / w at the Chebyshev
 * nodes of 0..1/9. The relative error of that is 1.7e-8 (degree 3, float), 7.2e-18 (9, double). */
#define v_twice_atanh NAME(v_twice_atanh)
INLINE vec v_twice_atanh(vec u)
{
#if IS_DOUBLE
    static const real g[] = {
        0.3333333333333333, 0.20000000000007292, 0.1428571428355438, 0.11111111358713932,
        0.09090894718066429, 0.07692785032479312, 0.06657072104827468, 0.06000536404795356,
        0.04400369243072337, 0.08082022805971766};
    enum { DEGREE = 9 };
#else
    static const real g[] = {
        0.33333320168349617f, 0.20003780322455603f, 0.1411830990265524f, 0.13425749011418575f};
    enum { DEGREE = 3 };
#endif
    vec w = u * u, sum = v_set(g[DEGREE]);
    UNROLL
    for (int k = DEGREE - 1; k >= 0; k--)
        sum = sum * w + g[k];
    vec twice = u + u;
    return twice * w * sum + twice;
}

/* log(1 + exp(z)) = max(z, 0) + log(1 + e), e = exp(-|z|) <= 1; and 1 + e is (1 + u) / (1 - u)
 * for u = e / (2 + e). */
#define v_softplus NAME(v_softplus)
INLINE vec v_softplus(vec z)
{
    vec e = v_exp(-v_abs(z));
    return v_if_less(z, v_set(0), v_set(0), z) + v_twice_atanh(e / (2 + e));
}
