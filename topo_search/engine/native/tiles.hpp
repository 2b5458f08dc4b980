// The register tile and what is made of it: products with packed blocks, gradients of blocks.
// Part of kernel.cpp, which is compiled once per level; see kernel.hpp for what must not appear here.
#pragma once

#include "vectors.hpp"

namespace topo_search {
namespace {

constexpr int tile_height(int vectors) {
    return W == 16 ? (vectors == 4 ? 6 : vectors == 2 ? 8 : 16) : 6;
}

// acc[r][j] += coefficient(r, k) source(k)[j], or -=. Packed coefficients lie as [k][row], others as rows of `stride`.
template <int R, int VB, bool Packed, bool Negate>
inline __attribute__((always_inline)) void multiply(
    Vec (&acc)[R][VB], const float* coefficient, int64_t stride, const float* source, int64_t ld, int count) {
#pragma GCC unroll 2
    for (int k = 0; k < count; ++k) {
        Vec v[VB];
#pragma GCC unroll 8
        for (int j = 0; j < VB; ++j) v[j] = load(source + j * W);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            const Vec c = all(Packed ? coefficient[r] : coefficient[r * stride]);
#pragma GCC unroll 8
            for (int j = 0; j < VB; ++j) {
                if constexpr (Negate) {
                    acc[r][j] -= c * v[j];
                } else {
                    acc[r][j] += c * v[j];
                }
            }
        }
        coefficient += Packed ? R : 1;
        source += ld;
    }
}

// Rows are split into tiles of nearly equal height, so that no tile is too low to hide the latency of a sum.
struct Tiling {
    int tiles;
    int height;
    int taller;
};

inline Tiling tiling(int rows, int limit) {
    const int tiles = (rows + limit - 1) / limit;
    return {tiles, rows / tiles, rows % tiles};
}

template <int S>
struct Width {
    static constexpr int V = S / W;
    static constexpr int VB = (S < kTileFloats ? S : kTileFloats) / W;
    static constexpr int R = tile_height(VB);
};

template <int S, int R, bool Negate>
void product_tile(const Segment* segment, const Segment* last, const float* packed, const float* source, float* out) {
    constexpr int VB = Width<S>::VB;
    Vec acc[R][VB];
    for (int r = 0; r < R; ++r)
        for (int j = 0; j < VB; ++j) acc[r][j] = load(out + r * S + j * W);
    for (; segment != last; ++segment) {
        multiply<R, VB, true, Negate>(acc, packed, 0, source + int64_t(segment->source) * S, S, segment->count);
        packed += R * segment->count;
    }
    for (int r = 0; r < R; ++r)
        for (int j = 0; j < VB; ++j) store(out + r * S + j * W, acc[r][j]);
}

template <int S, bool Negate, int R = Width<S>::R>
inline void product_tile_of(
    int rows, const Segment* first, const Segment* last, const float* packed, const float* source, float* out) {
    if constexpr (R > 0) {
        if (rows == R) {
            product_tile<S, R, Negate>(first, last, packed, source, out);
        } else {
            product_tile_of<S, Negate, R - 1>(rows, first, last, packed, source, out);
        }
    }
}

// Floats of state beyond which the second-level cache does not hold what a step goes through.
constexpr int64_t kNearFloats = int64_t(1) << 16;

inline void prefetch(const float* from, int64_t floats) {
    for (int64_t i = 0; i < floats; i += 16) __builtin_prefetch(from + i, 0, 2);
}

// A part of what a panel will read, so that the next panel's sources arrive while this one's are used.
template <int S>
inline void prefetch_sources(const Product& product, const Panel& panel, const float* source, int part, int parts) {
    for (int s = panel.first; s < panel.last; ++s) {
        const Segment& segment = product.segments[s];
        const int begin = segment.count * part / parts;
        const int end = segment.count * (part + 1) / parts;
        prefetch(source + int64_t(segment.source + begin) * S, int64_t(end - begin) * S);
    }
}

// The panels from `p` on whose rows lie before `end`; the next panel. Panels are in order of their rows.
template <int S, bool Negate>
int accumulate_rows(const Product& product, int p, int end, const float* source, float* out, bool far) {
    constexpr int block = Width<S>::VB * W;
    for (; p < product.n_panels && product.panels[p].dest < end; ++p) {
        const Panel& panel = product.panels[p];
        const Segment* first = product.segments + panel.first;
        const Segment* last = product.segments + panel.last;
        int columns = 0;
        for (const Segment* s = first; s != last; ++s) columns += s->count;
        const Tiling split = tiling(panel.rows, Width<S>::R);
        for (int b = 0; b < S; b += block) {
            const float* packed = product.packed + panel.packed;
            float* rows = out + int64_t(panel.dest) * S + b;
            for (int tile = 0; tile < split.tiles; ++tile) {
                const int height = split.height + (tile < split.taller);
                if (far && b == 0 && p + 1 < product.n_panels)
                    prefetch_sources<S>(product, product.panels[p + 1], source, tile, split.tiles);
                product_tile_of<S, Negate>(height, first, last, packed, source + b, rows);
                packed += int64_t(height) * columns;
                rows += int64_t(height) * S;
            }
        }
    }
    return p;
}

template <int S, bool Negate>
void accumulate(const Product& product, const float* source, float* out) {
    accumulate_rows<S, Negate>(product, 0, INT32_MAX, source, out, false);
}

void pack(const Product& product, int32_t width, const float* const* arrays, float* packed) {
    const int vectors = (width < kTileFloats ? width : kTileFloats) / W;
    for (int p = 0; p < product.n_panels; ++p) {
        const Panel& panel = product.panels[p];
        const Tiling split = tiling(panel.rows, tile_height(vectors));
        float* out = packed + panel.packed;
        int row = 0;
        for (int tile = 0; tile < split.tiles; ++tile) {
            const int height = split.height + (tile < split.taller);
            for (int s = panel.first; s < panel.last; ++s) {
                const Segment& segment = product.segments[s];
                const float* from = arrays[segment.array] + segment.weights + int64_t(row) * segment.row_stride;
                if (segment.row_stride == 1) {
                    for (int k = 0; k < segment.count; ++k)
                        for (int r = 0; r < height; ++r)
                            out[k * height + r] = segment.scale * from[int64_t(k) * segment.column_stride + r];
                } else {
                    for (int r = 0; r < height; ++r)
                        for (int k = 0; k < segment.count; ++k)
                            out[k * height + r] =
                                segment.scale *
                                from[int64_t(r) * segment.row_stride + int64_t(k) * segment.column_stride];
                }
                out += int64_t(height) * segment.count;
            }
            row += height;
        }
    }
}

// total(rows, columns) += adjoint state^T [-= state adjoint^T], columns transposed before.
template <int S, int R, int VB, bool Both>
void outer_tile(const float* row, const float* column, const float* row_2, const float* column_2, int ld,
                float* total) {
    Vec acc[R][VB];
    for (int r = 0; r < R; ++r)
        for (int j = 0; j < VB; ++j) acc[r][j] = load(total + int64_t(r) * ld + j * W);
    multiply<R, VB, false, false>(acc, row, S, column, ld, S);
    if constexpr (Both) multiply<R, VB, false, true>(acc, row_2, S, column_2, ld, S);
    for (int r = 0; r < R; ++r)
        for (int j = 0; j < VB; ++j) store(total + int64_t(r) * ld + j * W, acc[r][j]);
}

template <int S, int VB, bool Both, int R = tile_height(VB)>
inline void outer_tile_of(int rows, const float* row, const float* column, const float* row_2, const float* column_2,
                          int ld, float* total) {
    if constexpr (R > 0) {
        if (rows == R) {
            outer_tile<S, R, VB, Both>(row, column, row_2, column_2, ld, total);
        } else {
            outer_tile_of<S, VB, Both, R - 1>(rows, row, column, row_2, column_2, ld, total);
        }
    }
}

template <int S, int VB, bool Both>
inline void outer_columns(int rows, const float* row, const float* column, const float* row_2, const float* column_2,
                          int ld, float* total) {
    const Tiling split = tiling(rows, tile_height(VB));
    int at = 0;
    for (int tile = 0; tile < split.tiles; ++tile) {
        const int height = split.height + (tile < split.taller);
        const int64_t from = int64_t(at) * S;
        outer_tile_of<S, VB, Both>(height, row + from, column, Both ? row_2 + from : nullptr, column_2, ld,
                                   total + int64_t(at) * ld);
        at += height;
    }
}

template <int S, bool Both>
void outer(int rows, const float* row, const float* column, const float* row_2, const float* column_2, int ld,
           float* total) {
    // Widths are multiples of 16 floats; two vectors of 16 where they fit halve the broadcasts.
    constexpr int wide = W == 16 ? 32 : 16;
    int c = 0;
    for (; c + wide <= ld; c += wide)
        outer_columns<S, wide / W, Both>(rows, row, column + c, row_2, Both ? column_2 + c : nullptr, ld, total + c);
    for (; c < ld; c += 16)
        outer_columns<S, 16 / W, Both>(rows, row, column + c, row_2, Both ? column_2 + c : nullptr, ld, total + c);
}

}  // namespace
}  // namespace topo_search
