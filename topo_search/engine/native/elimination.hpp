// Small inverses, in float64.
// Part of kernel.cpp, which is compiled once per level; see kernel.hpp for what must not appear here.
#pragma once

#include "kernel.hpp"

namespace topo_search {
namespace {

// Neighbouring columns mostly follow one another, so the inner loop runs over runs of them.
void add_gram(double* matrix, int64_t n, const double* rows, int64_t count, const int32_t* columns, int64_t n_columns,
              double factor) {
    for (int64_t begin = 0; begin < n_columns;) {
        int64_t end = begin + 1;
        while (end < n_columns && columns[end] == columns[end - 1] + 1) ++end;
        const int64_t width = end - begin;
        for (int64_t i = 0; i < n_columns; ++i) {
            double* __restrict to = matrix + columns[i] * n + columns[begin];
            for (int64_t k = 0; k < count; ++k) {
                const double weight = factor * rows[k * n_columns + i];
                const double* __restrict from = rows + k * n_columns + begin;
                for (int64_t j = 0; j < width; ++j) to[j] += weight * from[j];
            }
        }
        begin = end;
    }
}

// Gauss-Jordan elimination of one pivot after another; for small n.
void eliminate(double* matrix, int64_t n) {
    for (int64_t k = 0; k < n; ++k) {
        const double inverse = 1 / matrix[k * n + k];
        matrix[k * n + k] = 1;
        for (int64_t j = 0; j < n; ++j) matrix[k * n + j] *= inverse;
        for (int64_t i = 0; i < n; ++i) {
            if (i == k) continue;
            const double weight = matrix[i * n + k];
            matrix[i * n + k] = 0;
            for (int64_t j = 0; j < n; ++j) matrix[i * n + j] -= weight * matrix[k * n + j];
        }
    }
}

// Several pivots at once, so that a row is read and written once for all of them. `work` takes (kPivots, n).
void invert(double* matrix, int64_t n, double* work) {
    for (int64_t first = 0; first < n; first += kPivots) {
        const int64_t count = n - first < kPivots ? n - first : kPivots;
        double pivots[kPivots * kPivots];
        for (int64_t r = 0; r < count; ++r)
            for (int64_t k = 0; k < count; ++k) pivots[r * count + k] = matrix[(first + r) * n + first + k];
        eliminate(pivots, count);
        // The pivot rows, with the identity in place of the pivots, times their inverse; missing rows are zero.
        for (int64_t r = 0; r < kPivots; ++r) {
            double* __restrict to = work + r * n;
            for (int64_t j = 0; j < n; ++j) to[j] = 0;
            if (r >= count) continue;
            for (int64_t k = 0; k < count; ++k) {
                const double weight = pivots[r * count + k];
                const double* __restrict from = matrix + (first + k) * n;
                for (int64_t j = 0; j < n; ++j) to[j] += weight * from[j];
            }
            for (int64_t k = 0; k < count; ++k) to[first + k] = pivots[r * count + k];
        }
        for (int64_t i = 0; i < n; ++i) {
            double* __restrict row = matrix + i * n;
            if (i >= first && i < first + count) {
                const double* from = work + (i - first) * n;
                for (int64_t j = 0; j < n; ++j) row[j] = from[j];
                continue;
            }
            double weight[kPivots] = {};
            for (int64_t k = 0; k < count; ++k) {
                weight[k] = row[first + k];
                row[first + k] = 0;
            }
            for (int64_t j = 0; j < n; ++j) {
                double value = row[j];
                for (int64_t k = 0; k < kPivots; ++k) value -= weight[k] * work[k * n + j];
                row[j] = value;
            }
        }
    }
}

}  // namespace
}  // namespace topo_search
