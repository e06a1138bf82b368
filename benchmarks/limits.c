/* The peak of this machine's arithmetic: multiply-adds that wait for nothing. */

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

#define CHAINS 12 /* more than latency times units; no more than there are registers */

#define PEAK(name, type)                                                                           \
    typedef type name##_vector __attribute__((vector_size(BYTES)));                                \
    /* n rounds of CHAINS multiply-adds; returns how many floating-point operations that was. */   \
    double name(long n, type *sink)                                                                \
    {                                                                                              \
        name##_vector a[CHAINS], scale, shift;                                                     \
        int lanes = BYTES / (int)sizeof(type);                                                     \
        for (int j = 0; j < lanes; j++) {                                                          \
            scale[j] = (type)0.5;                                                                  \
            shift[j] = (type)0.5;                                                                  \
            for (int k = 0; k < CHAINS; k++)                                                       \
                a[k][j] = (type)(1 + k);                                                           \
        }                                                                                          \
        for (long i = 0; i < n; i++) {                                                             \
            _Pragma("GCC unroll 12") for (int k = 0; k < CHAINS; k++) a[k] = a[k] * scale + shift; \
        }                                                                                          \
        for (int k = 0; k < CHAINS; k++)                                                           \
            for (int j = 0; j < lanes; j++)                                                        \
                *sink += a[k][j];                                                                  \
        return 2.0 * (double)n * CHAINS * lanes;                                                   \
    }

PEAK(peak_float32, float)
PEAK(peak_float64, double)
