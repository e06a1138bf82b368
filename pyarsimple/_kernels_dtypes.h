/* The kernels of one SIMD level (LEVEL, VECTOR_BYTES), for both dtypes. */

#define DTYPE float64
#define real double
#define integer uint64_t
#define IS_DOUBLE 1
#define X86(operation) X86_PD(operation)
#define X86_TYPE X86_TYPE_PD
#define LANES (VECTOR_BYTES ? VECTOR_BYTES / 8 : 1)
#include "_kernels_vector.h"
#include "_kernels_elementwise.h"
#include "_kernels_nade.h"
#include "_kernels_products.h"
#include "_kernels_ancestral.h"
#undef DTYPE
#undef real
#undef integer
#undef IS_DOUBLE
#undef X86
#undef X86_TYPE
#undef LANES
#undef MANTISSA_BITS
#undef EXPONENT_BIAS
#undef EXP_UNDERFLOWS
#undef EXP_OVERFLOWS
#undef EXP_NORMAL_LOW
#undef EXP_NORMAL_HIGH

#define DTYPE float32
#define real float
#define integer uint32_t
#define IS_DOUBLE 0
#define X86(operation) X86_PS(operation)
#define X86_TYPE X86_TYPE_PS
#define LANES (VECTOR_BYTES ? VECTOR_BYTES / 4 : 1)
#include "_kernels_vector.h"
#include "_kernels_elementwise.h"
#include "_kernels_nade.h"
#include "_kernels_products.h"
#include "_kernels_ancestral.h"
#undef DTYPE
#undef real
#undef integer
#undef IS_DOUBLE
#undef X86
#undef X86_TYPE
#undef LANES
#undef MANTISSA_BITS
#undef EXPONENT_BIAS
#undef EXP_UNDERFLOWS
#undef EXP_OVERFLOWS
#undef EXP_NORMAL_LOW
#undef EXP_NORMAL_HIGH
