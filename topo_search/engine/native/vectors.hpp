// Vectors of a level: loads, nonlinearities, transposed blocks.
// Part of kernel.cpp, which is compiled once per level; see kernel.hpp for what must not appear here.
#pragma once

#include <cstddef>
#include <utility>

#include "kernel.hpp"

namespace topo_search {
namespace {

#if defined(__AVX512F__)
constexpr int W = 16;
constexpr int kTileFloats = 64;  // 32 registers: 6 rows of 4 vectors, 8 of 2 or 16 of 1 leave room for the sources
#elif defined(__AVX2__)
constexpr int W = 8;
constexpr int kTileFloats = 16;  // 16 registers: 6 rows of 2 vectors
#else
constexpr int W = 4;
constexpr int kTileFloats = 16;  // 32 registers: 6 rows of 4 vectors
#endif

typedef float Vec __attribute__((vector_size(W * 4), may_alias));
typedef float VecUnaligned __attribute__((vector_size(W * 4), may_alias, aligned(4)));
typedef float Sum __attribute__((vector_size(kSumLanes * 4), may_alias));
typedef int32_t IntVec __attribute__((vector_size(W * 4), may_alias));
typedef int32_t IntVecUnaligned __attribute__((vector_size(W * 4), may_alias, aligned(4)));

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }
inline Vec zero() { return Vec{}; }
inline Vec all(float value) { return value - Vec{}; }

// Lanes added up as far as a sum kept in memory needs it: a smaller sum is a smaller load.
inline Sum folded(Vec v) {
#if defined(__AVX512F__)
    const auto half = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                      __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    return __builtin_shufflevector(half, half, 0, 1, 2, 3) + __builtin_shufflevector(half, half, 4, 5, 6, 7);
#elif defined(__AVX2__)
    return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
#else
    return v;
#endif
}

inline void add_folded(float* to, Vec v) { *reinterpret_cast<Sum*>(to) += folded(v); }

// NaN stays NaN.
inline Vec relu(Vec x) { return x < 0 ? zero() : x; }
inline Vec absolute(Vec x) { return x < 0 ? -x : x; }

inline void copy(float* out, const float* from, int64_t count) {
    __builtin_memcpy(out, from, static_cast<std::size_t>(count) * sizeof(float));
}
inline void clear(float* out, int64_t count) {
    __builtin_memset(out, 0, static_cast<std::size_t>(count) * sizeof(float));
}

inline Vec exponential(Vec x) {
    const Vec scaled = x * 1.44269504088896341f;
    const IntVec power = __builtin_convertvector(scaled + (scaled < 0 ? all(-0.5f) : all(0.5f)), IntVec);
    const Vec whole = __builtin_convertvector(power, Vec);
    const Vec r = (x - whole * 0.693145751953125f) - whole * 1.42860682030941723e-6f;
    Vec p = all(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const IntVec bits = (power + 127) << 23;
    return p * reinterpret_cast<const Vec&>(bits);
}

// Within 2e-7 relative: near 0 an odd polynomial fitted on |x| < 0.64, elsewhere through the exponential.
inline Vec hyperbolic_tangent(Vec x) {
    const Vec size = absolute(x);
    const Vec bounded = size > 10 ? all(10) : size;
    const Vec large = 1 - 2 / (exponential(2 * bounded) + 1);
    const Vec t = x * x;
    Vec p = all(-6.001799444e-03f);
    p = p * t + 2.093142305e-02f;
    p = p * t - 5.383701616e-02f;
    p = p * t + 1.333267900e-01f;
    p = p * t - 3.333332807e-01f;
    const Vec small = x + x * (t * p);
    return size < 0.625f ? small : (x < 0 ? -large : large);
}

template <int D, int... I>
inline void exchange(Vec& a, Vec& b, std::integer_sequence<int, I...>) {
    const Vec low = __builtin_shufflevector(a, b, ((I & D) ? W + I - D : I)...);
    const Vec high = __builtin_shufflevector(a, b, ((I & D) ? W + I : I + D)...);
    a = low;
    b = high;
}

template <int D>
inline void exchange_all(Vec (&rows)[W]) {
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i)
        if (!(i & D)) exchange<D>(rows[i], rows[i + D], std::make_integer_sequence<int, W>{});
}

// A W x W block in registers, transposed.
inline void transpose(Vec (&rows)[W]) {
    exchange_all<1>(rows);
    exchange_all<2>(rows);
    if constexpr (W > 4) exchange_all<4>(rows);
    if constexpr (W > 8) exchange_all<8>(rows);
}

// Rows (count, S) to columns (S, ld); columns from count up to the next multiple of W are set to zero.
template <int S>
void transpose_rows(const float* rows, int count, float* columns, int ld) {
    for (int r = 0; r < count; r += W) {
        for (int b = 0; b < S; b += W) {
            Vec block[W];
            for (int i = 0; i < W; ++i) block[i] = r + i < count ? load(rows + int64_t(r + i) * S + b) : zero();
            transpose(block);
            for (int i = 0; i < W; ++i) store(columns + int64_t(b + i) * ld + r, block[i]);
        }
    }
}

// State (units, S) to sequences (lanes, units).
template <int S>
void write_states(const float* state, int units, int lanes, float* out) {
    for (int n = 0; n < units; n += W) {
        const int rows = units - n < W ? units - n : W;
        for (int b = 0; b < lanes; b += W) {
            const int sequences = lanes - b < W ? lanes - b : W;
            Vec block[W];
            for (int i = 0; i < W; ++i) block[i] = i < rows ? load(state + int64_t(n + i) * S + b) : zero();
            transpose(block);
            for (int i = 0; i < sequences; ++i) {
                float* to = out + int64_t(b + i) * units + n;
                if (rows == W) {
                    *reinterpret_cast<VecUnaligned*>(to) = block[i];
                } else {
                    copy(to, reinterpret_cast<const float*>(&block[i]), rows);
                }
            }
        }
    }
}

// Adds sequences (lanes, units) to a state (units, S).
template <int S>
void add_states(const float* from, int units, int lanes, float* state) {
    for (int n = 0; n < units; n += W) {
        const int rows = units - n < W ? units - n : W;
        for (int b = 0; b < lanes; b += W) {
            const int sequences = lanes - b < W ? lanes - b : W;
            Vec block[W];
            for (int i = 0; i < W; ++i) {
                block[i] = zero();
                if (i >= sequences) continue;
                const float* at = from + int64_t(b + i) * units + n;
                if (rows == W) {
                    block[i] = *reinterpret_cast<const VecUnaligned*>(at);
                } else {
                    copy(reinterpret_cast<float*>(&block[i]), at, rows);
                }
            }
            transpose(block);
            for (int i = 0; i < rows; ++i) {
                float* row = state + int64_t(n + i) * S + b;
                store(row, load(row) + block[i]);
            }
        }
    }
}

}  // namespace
}  // namespace topo_search
