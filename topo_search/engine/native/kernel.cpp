// The time loop of one batch slice, forward and backward, at one instruction-set level.
//
// A state is a matrix (units, width): every inner loop runs along the batch, contiguous and aligned. Products with
// blocks and gradients of blocks share one register tile (`multiply`): rows broadcast, batch or columns in vectors.
// Compiled with TOPO_SEARCH_LEVEL naming the level; see kernel.hpp for what must not appear here.

#include <cstddef>
#include <utility>

#include "kernel.hpp"

#ifndef TOPO_SEARCH_LEVEL
#error "TOPO_SEARCH_LEVEL must name the instruction-set level"
#endif

#define TOPO_SEARCH_STRING_(x) #x
#define TOPO_SEARCH_STRING(x) TOPO_SEARCH_STRING_(x)
#define TOPO_SEARCH_JOIN_(a, b) a##b
#define TOPO_SEARCH_JOIN(a, b) TOPO_SEARCH_JOIN_(a, b)

namespace topo_search {
namespace {

#if defined(__AVX512F__)
constexpr int W = 16;
constexpr int kTileFloats = 64;  // 32 registers: 6 rows of 4 vectors, 12 of 2 or 16 of 1 leave room for the sources
#elif defined(__AVX2__)
constexpr int W = 8;
constexpr int kTileFloats = 16;  // 16 registers: 6 rows of 2 vectors
#else
constexpr int W = 4;
constexpr int kTileFloats = 16;  // 32 registers: 6 rows of 4 vectors
#endif

constexpr int tile_height(int vectors) {
    return W == 16 ? (vectors == 4 ? 6 : vectors == 2 ? 8 : 16) : 6;
}

typedef float Vec __attribute__((vector_size(W * 4), may_alias));
typedef float VecUnaligned __attribute__((vector_size(W * 4), may_alias, aligned(4)));
typedef int32_t IntVec __attribute__((vector_size(W * 4), may_alias));
typedef int32_t IntVecUnaligned __attribute__((vector_size(W * 4), may_alias, aligned(4)));

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }
inline Vec zero() { return Vec{}; }
inline Vec all(float value) { return value - Vec{}; }
typedef float Sum __attribute__((vector_size(kSumLanes * 4), may_alias));

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
inline void clear(float* out, int64_t count) { __builtin_memset(out, 0, static_cast<std::size_t>(count) * sizeof(float)); }

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

// total(rows, columns) += adjoint state^T [-= state adjoint^T], columns transposed before.
template <int S, int R, int VB, bool Both>
void outer_tile(const float* row, const float* column, const float* row_2, const float* column_2, int ld, float* total) {
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

// Buffers of a slice, carved from its scratch.
template <int S>
struct Scratch {
    static constexpr int64_t kBuffers = 20;

    float *input, *input_before, *input_columns, *activity, *state, *following, *adjoint, *inner, *solved, *held, *cover, *series, *columns,
        *adjoint_columns, *pair[5];

    Scratch(const Network& net, float* memory) {
        const auto take = [&](int64_t floats) {
            float* start = memory;
            memory += floats + kApart;
            return start;
        };
        const int64_t state_floats = int64_t(net.units) * S;
        const int64_t column_floats = (int64_t(net.largest) + kLanes) * S;
        input = take(int64_t(net.channels) * S);
        input_before = take(int64_t(net.channels) * S);
        input_columns = take((int64_t(net.channels) + kLanes) * S);
        activity = net.relu ? nullptr : take(state_floats);
        state = take(state_floats);
        following = take(state_floats);
        adjoint = take(state_floats);
        inner = take(state_floats);
        solved = take(state_floats);
        held = take(state_floats);
        series = net.form == Form::kSeries ? take(2 * state_floats) : nullptr;
        cover = net.form == Form::kCover ? take(int64_t(net.cover_rows) * S) : nullptr;
        columns = take(column_floats);
        adjoint_columns = take(column_floats);
        for (float*& buffer : pair) buffer = net.form == Form::kEdges ? take(int64_t(net.largest) * S) : nullptr;
    }

    static int64_t floats(const Network& net) {
        const int64_t states = 6 + (net.relu ? 0 : 1) + (net.form == Form::kSeries ? 2 : 0);
        return int64_t(S) * (3 * net.channels + kLanes + states * net.units + 2 * (net.largest + kLanes) +
                             (net.form == Form::kCover ? net.cover_rows : 0) +
                             (net.form == Form::kEdges ? 5 * net.largest : 0)) +
               kBuffers * kApart;
    }
};

template <int S>
struct Loop {
    static constexpr int V = S / W;
    const Network& net;
    const Slice& slice;
    const int64_t size;
    const int64_t stride;
    Scratch<S> scratch;

    Loop(const Network& network, const Slice& owner)
        : net(network), slice(owner), size(int64_t(network.units) * S), stride(size + kApart), scratch(network, owner.scratch) {}

    int rows(int area) const { return net.offset[area + 1] - net.offset[area]; }
    float* rows_of(float* state, int area) const { return state + int64_t(net.offset[area]) * S; }
    const float* rows_of(const float* state, int area) const { return state + int64_t(net.offset[area]) * S; }

    // Inputs of step t as (channels, S). Zero in the padding and past the end of a sequence, whatever lies there.
    void load_inputs(int t, float* to) const {
        const float* from = slice.inputs + (int64_t(t) * slice.batch + slice.first) * net.channels;
        const bool whole = t < slice.shortest;
        if (net.channels == 1 && whole) {
            copy(to, from, S);
            return;
        }
        for (int c = 0; c < net.channels; ++c)
            for (int b = 0; b < S; ++b)
                to[c * S + b] = whole || t < slice.length[b] ? from[int64_t(b) * net.channels + c] : 0;
    }

    void load_initial(float* state) const {
        clear(state, size);
        if (slice.initial)
            add_states<S>(slice.initial + int64_t(slice.first) * net.units, net.units, slice.lanes, state);
    }

    // phi of the rows [first, last), into scratch.activity.
    void activate(int first, int last, const float* x) const {
        for (int i = first; i < last; ++i) {
            const float level = net.level ? net.level[i] : 1;
            for (int j = 0; j < V; ++j) {
                const int64_t at = int64_t(i) * S + j * W;
                store(scratch.activity + at, level * hyperbolic_tangent(load(x + at) / level));
            }
        }
    }

    // What happens inside the areas of rows [first, last) in a step: (1 - h) x + h (W phi(x) + W_in u + b).
    template <bool Relu>
    void local(int first, int last, const float* x, const float* u, float* out) const {
        const float* activity = x;
        if constexpr (!Relu) {
            activate(first, last, x);
            activity = scratch.activity;
        }
        for (int i = first; i < last; ++i) {
            Vec acc[V];
            for (int j = 0; j < V; ++j) acc[j] = net.bias[i] + net.leak * load(x + int64_t(i) * S + j * W);
            for (int e = net.area.start[i]; e < net.area.start[i + 1]; ++e) {
                const float* from = activity + int64_t(net.area.column[e]) * S;
                const float weight = net.area.value[e];
                for (int j = 0; j < V; ++j) {
                    const Vec value = load(from + j * W);
                    acc[j] += weight * (Relu ? relu(value) : value);
                }
            }
            for (int e = net.input.start[i]; e < net.input.start[i + 1]; ++e) {
                const float* from = u + int64_t(net.input.column[e]) * S;
                const float weight = net.input.value[e];
                for (int j = 0; j < V; ++j) acc[j] += weight * load(from + j * W);
            }
            for (int j = 0; j < V; ++j) store(out + int64_t(i) * S + j * W, acc[j]);
        }
    }

    void local_step(int first, int last, const float* x, const float* u, float* out) const {
        if (net.relu) {
            local<true>(first, last, x, u, out);
        } else {
            local<false>(first, last, x, u, out);
        }
    }

    void local_step(const float* x, const float* u, float* out) const { local_step(0, net.units, x, u, out); }

    // The adjoint of local: (1 - h) g + phi'(x) h W^T g. For tanh, phi(x) is left in scratch.activity.
    template <bool Relu>
    void local_adjoint(int first, int last, const float* gradient, const float* x, float* out) const {
        if constexpr (!Relu) activate(first, last, x);
        for (int i = first; i < last; ++i) {
            Vec acc[V];
            for (int j = 0; j < V; ++j) acc[j] = zero();
            for (int e = net.area_transposed.start[i]; e < net.area_transposed.start[i + 1]; ++e) {
                const float* from = gradient + int64_t(net.area_transposed.column[e]) * S;
                const float weight = net.area_transposed.value[e];
                for (int j = 0; j < V; ++j) acc[j] += weight * load(from + j * W);
            }
            const float inverse = Relu || !net.level ? 1 : 1 / net.level[i];
            for (int j = 0; j < V; ++j) {
                const int64_t at = int64_t(i) * S + j * W;
                if constexpr (Relu) {
                    acc[j] = load(x + at) > 0 ? acc[j] : zero();
                } else {
                    const Vec share = load(scratch.activity + at) * inverse;
                    acc[j] *= 1 - share * share;
                }
                store(out + at, acc[j] + net.leak * load(gradient + at));
            }
        }
    }

    void local_adjoint_step(int first, int last, const float* gradient, const float* x, float* out) const {
        if (net.relu) {
            local_adjoint<true>(first, last, gradient, x, out);
        } else {
            local_adjoint<false>(first, last, gradient, x, out);
        }
    }

    // out = (I - c K)^-1 x by elimination of the areas outside the cover, which have no edge among them; with
    // Transpose, (I + c K)^-1 x.
    template <bool Transpose>
    void solve_cover(const float* x, float* out) const {
        const float* source = x;
        if (net.n_independent > 0) {
            float* to = scratch.cover;
            for (int a = 0; a < net.n_cover; ++a) {
                const int64_t floats = int64_t(rows(net.cover[a])) * S;
                copy(to, rows_of(x, net.cover[a]), floats);
                to += floats;
            }
            accumulate<S, Transpose>(net.products[0], x, scratch.cover);
            source = scratch.cover;
        }
        for (int a = 0; a < net.n_cover; ++a) clear(rows_of(out, net.cover[a]), int64_t(rows(net.cover[a])) * S);
        accumulate<S, false>(net.products[Transpose ? 3 : 2], source, out);
        for (int a = 0; a < net.n_independent; ++a) {
            const int area = net.independent[a];
            copy(rows_of(out, area), rows_of(x, area), int64_t(rows(area)) * S);
        }
        accumulate<S, Transpose>(net.products[1], out, out);
    }

    void add_scaled(float factor, const float* from, float* to) const {
        for (int64_t i = 0; i < size; i += W) store(to + i, load(to + i) + factor * load(from + i));
    }

    // The same by Chebyshev polynomials of the skew matrix: P_0 = I, P_1 = X, P_k+1 = 2 X P_k + P_k-1.
    template <bool Transpose>
    void solve_series(const float* x, float* out) const {
        float* before = scratch.series;
        float* now = scratch.series + size;
        for (int64_t i = 0; i < size; i += W) {
            store(before + i, load(x + i));
            store(out + i, net.series[0] * load(x + i));
        }
        if (net.order < 1) return;
        clear(now, size);
        accumulate<S, Transpose>(net.products[0], x, now);
        for (int64_t i = 0; i < size; i += W) {
            const Vec half = 0.5f * load(now + i);
            store(now + i, half);
            store(out + i, load(out + i) + net.series[1] * half);
        }
        for (int k = 2; k <= net.order; ++k) {
            accumulate<S, Transpose>(net.products[0], now, before);
            add_scaled(net.series[k], before, out);
            float* swap = before;
            before = now;
            now = swap;
        }
    }

    template <bool Transpose>
    void solve(const float* x, float* out) const {
        if (net.form == Form::kCover) {
            solve_cover<Transpose>(x, out);
        } else {
            solve_series<Transpose>(x, out);
        }
    }

    // One edge's Cayley step in place; the solutions (input + output) / 2 stay in `low` and `high`.
    template <bool Transpose>
    void turn_edge(int edge, float* state, float* low, float* high) const {
        const int low_area = net.gradients[edge].column;
        const int high_area = net.gradients[edge].row;
        float* right = scratch.pair[4];
        float* x_low = rows_of(state, low_area);
        float* x_high = rows_of(state, high_area);
        const int64_t n_low = int64_t(rows(low_area)) * S;
        const int64_t n_high = int64_t(rows(high_area)) * S;
        copy(right, x_low, n_low);
        accumulate<S, Transpose>(net.products[3 * edge], x_high, right);
        clear(low, n_low);
        accumulate<S, false>(net.products[3 * edge + 1], right, low);
        copy(high, x_high, n_high);
        accumulate<S, Transpose>(net.products[3 * edge + 2], low, high);
        for (int64_t i = 0; i < n_low; i += W) store(x_low + i, 2 * load(low + i) - load(x_low + i));
        for (int64_t i = 0; i < n_high; i += W) store(x_high + i, 2 * load(high + i) - load(x_high + i));
    }

    // y = Q x.
    void couple(int t, const float* x, float* y) const {
        if (net.form == Form::kNone) {
            copy(y, x, size);
        } else if (net.form == Form::kEdges) {
            copy(y, x, size);
            for (int e = 0; e < net.n_edges; ++e)
                turn_edge<false>(t % 2 == 0 ? e : net.n_edges - 1 - e, y, scratch.pair[0], scratch.pair[1]);
        } else {
            solve<false>(x, y);
            for (int64_t i = 0; i < size; i += W) store(y + i, 2 * load(y + i) - load(x + i));
        }
    }

    // Whether step t is taken, as a lane mask.
    IntVec running(int t, int j) const {
        const IntVec length = *reinterpret_cast<const IntVecUnaligned*>(slice.length + j * W);
        return length > (t - IntVec{});
    }

    // x_t to x_t+1; for the Cayley forms y_t is left in `y`.
    void step(int t, const float* x, float* y, float* next) const {
        load_inputs(t, scratch.input);
        if (net.form == Form::kEuler) {
            // Area by area, so that its rows are still near when the blocks are added.
            for (int area = 0, panel = 0; area < net.areas; ++area) {
                const int end = net.offset[area + 1];
                local_step(net.offset[area], end, x, scratch.input, next);
                panel = accumulate_rows<S, false>(net.products[0], panel, end, x, next, size > kNearFloats);
            }
        } else {
            couple(t, x, y);
            local_step(y, scratch.input, next);
        }
        if (t < slice.shortest) return;
        for (int j = 0; j < V; ++j) {
            const IntVec mask = running(t, j);
            for (int64_t i = j * W; i < size; i += S) store(next + i, mask ? load(next + i) : load(x + i));
        }
    }

    // The buffers in which x_t, y_t and x_t+1 of position k of a segment lie.
    struct Places {
        const float* x;
        float* y;
        float* next;
    };

    Places places(int k) const {
        if (net.form == Form::kEuler) return {slice.slots + k * stride, nullptr, slice.slots + (k + 1) * stride};
        float* both[2] = {scratch.state, scratch.following};
        return {both[k % 2], slice.slots + k * stride, both[(k + 1) % 2]};
    }

    float* entry() const { return net.form == Form::kEuler ? slice.slots : scratch.state; }

    void forward() const {
        load_initial(entry());
        const float* now = entry();
        for (int t = 0; t < slice.longest; ++t) {
            const int k = t % slice.segment;
            if (k == 0) {
                if (now != entry()) copy(entry(), now, size);
                if (slice.keep) copy(slice.checkpoints + t / slice.segment * stride, entry(), size);
            }
            const Places at = places(k);
            step(t, at.x, at.y, at.next);
            now = at.next;
            if (slice.all_states) write_states<S>(now, net.units, slice.lanes, output(t));
        }
        if (!slice.all_states) {
            write_states<S>(now, net.units, slice.lanes, output(0));
        } else {
            for (int t = slice.longest; t < slice.steps; ++t) write_states<S>(now, net.units, slice.lanes, output(t));
        }
    }

    float* output(int t) const { return slice.output + (t * slice.batch + slice.first) * net.units; }
    const float* grad_output(int t) const { return slice.grad_output + (t * slice.batch + slice.first) * net.units; }

    void recompute(int segment) const {
        copy(entry(), slice.checkpoints + segment * stride, size);
        const int start = segment * slice.segment;
        for (int k = 0; k < slice.segment; ++k) {
            const Places at = places(k);
            step(start + k, at.x, at.y, at.next);
        }
    }

    // Gradients of an area's bias and input weights. Sums over lanes are finished at the end.
    void add_input_sums(int area, const float* gradient, const float* u) const {
        const bool sees = net.sees_input[area] != 0;
        for (int i = net.offset[area]; i < net.offset[area + 1]; ++i) {
            Vec g[V];
            Vec total = zero();
            for (int j = 0; j < V; ++j) {
                g[j] = load(gradient + int64_t(i) * S + j * W);
                total += g[j];
            }
            add_folded(slice.lane_sums + int64_t(i) * kSumLanes, total);
            if (!sees || wide()) continue;
            for (int c = 0; c < net.channels; ++c) {
                Vec sum = zero();
                for (int j = 0; j < V; ++j) sum += g[j] * load(u + int64_t(c) * S + j * W);
                add_folded(slice.lane_input_sums + (int64_t(i) * net.channels + c) * kSumLanes, sum);
            }
        }
        if (sees && wide())
            outer<S, false>(rows(area), rows_of(gradient, area), scratch.input_columns, nullptr, nullptr, input_ld(),
                            slice.lane_input_sums + int64_t(net.offset[area]) * input_ld());
    }

    // Many channels are summed as blocks of an edge are; for few of them that would mostly multiply padding.
    bool wide() const { return net.channels >= kWideInput; }
    int input_ld() const { return (net.channels + kLanes - 1) / kLanes * kLanes; }

    void transpose_inputs() const {
        for (int b = 0; b < S; ++b)
            for (int c = 0; c < net.channels; ++c) scratch.input_columns[b * input_ld() + c] = scratch.input[c * S + b];
    }

    float finished(const float* lanes) const {
        const Sum sum = *reinterpret_cast<const Sum*>(lanes);
        return (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }

    void finish_input_sums() const {
        for (int i = 0; i < net.units; ++i) slice.bias_sums[i] = finished(slice.lane_sums + int64_t(i) * kSumLanes);
        const int64_t inputs = int64_t(net.units) * net.channels;
        if (!wide()) {
            for (int64_t i = 0; i < inputs; ++i) slice.input_sums[i] = finished(slice.lane_input_sums + i * kSumLanes);
            return;
        }
        for (int i = 0; i < net.units; ++i)
            copy(slice.input_sums + int64_t(i) * net.channels, slice.lane_input_sums + int64_t(i) * input_ld(),
                 net.channels);
    }

    void add_input_gradients(int t, const float* gradient) const {
        float* to = slice.grad_inputs + (int64_t(t) * slice.batch + slice.first) * net.channels;
        for (int c = 0; c < net.channels; ++c) {
            Vec sum[V];
            for (int j = 0; j < V; ++j) sum[j] = zero();
            for (int i = 0; i < net.units; ++i) {
                const float weight = net.h * net.input_weights[int64_t(i) * net.channels + c];
                for (int j = 0; j < V; ++j) sum[j] += weight * load(gradient + int64_t(i) * S + j * W);
            }
            for (int b = 0; b < slice.lanes; ++b) to[int64_t(b) * net.channels + c] = sum[b / W][b % W];
        }
    }

    void add_area_sums(const float* gradient, const float* x) const {
        for (int area = 0; area < net.areas; ++area) {
            const int n = rows(area);
            const int ld = net.padded[area + 1] - net.padded[area];
            float* activity = scratch.held;
            const float* from = rows_of(net.relu ? x : scratch.activity, area);
            for (int64_t i = 0; i < int64_t(n) * S; i += W)
                store(activity + i, net.relu ? relu(load(from + i)) : load(from + i));
            transpose_rows<S>(activity, n, scratch.columns, ld);
            outer<S, false>(n, rows_of(gradient, area), scratch.columns, nullptr, nullptr, ld,
                            slice.area_sums + net.area_totals[area]);
        }
    }

    // Gradients of the edges from the k-th by column on, up to the first whose column is area `end`; from the adjoint
    // and the state that the coupling was applied to. Returns the next edge.
    int add_edge_gradients(int k, int end, const float* gradient, const float* x) const {
        int column = -1;
        for (; k < net.n_edges; ++k) {
            const EdgeGradient& edge = net.gradients[net.by_column[k]];
            if (edge.column >= end) break;
            const int n = rows(edge.row);
            const int ld = net.padded[edge.column + 1] - net.padded[edge.column];
            const float* adjoint_row = rows_of(gradient, edge.row);
            const float* state_row = rows_of(x, edge.row);
            if (edge.column != column) {
                column = edge.column;
                transpose_rows<S>(rows_of(x, column), rows(column), scratch.columns, ld);
                transpose_rows<S>(rows_of(gradient, column), rows(column), scratch.adjoint_columns, ld);
            }
            if (size > kNearFloats && k + 1 < net.n_edges) {
                const EdgeGradient& next = net.gradients[net.by_column[k + 1]];
                prefetch(rows_of(gradient, next.row), int64_t(rows(next.row)) * S);
                prefetch(rows_of(x, next.row), int64_t(rows(next.row)) * S);
                prefetch(slice.totals + next.first, int64_t(rows(next.row)) * ld);
            }
            if (net.skew) {
                outer<S, true>(n, adjoint_row, scratch.columns, state_row, scratch.adjoint_columns, ld,
                               slice.totals + edge.first);
            } else {
                outer<S, false>(n, adjoint_row, scratch.columns, nullptr, nullptr, ld, slice.totals + edge.first);
                outer<S, false>(n, state_row, scratch.adjoint_columns, nullptr, nullptr, ld,
                                slice.totals + edge.second);
            }
        }
        return k;
    }

    // From y and its adjoint to x's, edge by edge in reverse: each edge's input is recovered by its transpose.
    void uncouple_edges(int t, float* state, float* adjoint) const {
        for (int k = net.n_edges - 1; k >= 0; --k) {
            const int e = t % 2 == 0 ? k : net.n_edges - 1 - k;
            turn_edge<true>(e, state, scratch.pair[0], scratch.pair[1]);
            turn_edge<true>(e, adjoint, scratch.pair[2], scratch.pair[3]);
            const EdgeGradient& edge = net.gradients[e];
            const int ld = net.padded[edge.column + 1] - net.padded[edge.column];
            transpose_rows<S>(scratch.pair[0], rows(edge.column), scratch.columns, ld);
            transpose_rows<S>(scratch.pair[2], rows(edge.column), scratch.adjoint_columns, ld);
            outer<S, true>(rows(edge.row), scratch.pair[3], scratch.columns, scratch.pair[1], scratch.adjoint_columns,
                           ld, slice.totals + edge.first);
        }
    }

    // Adjoint of x_t+1, which is used up, to adjoint of x_t; the gradients of step t are added to the sums.
    void step_back(int t, float* adjoint, float* before) const {
        load_inputs(t, scratch.input);
        if (wide()) transpose_inputs();
        const bool masked = t >= slice.shortest;
        if (masked) hold_back(t, adjoint);
        if (slice.grad_inputs) add_input_gradients(t, adjoint);
        float* state = slice.slots + t % slice.segment * stride;
        if (net.form == Form::kEuler) {
            // An area's product and the gradients of its edges read the adjoints of the same neighbours.
            for (int area = 0, panel = 0, edge = 0; area < net.areas; ++area) {
                const int end = net.offset[area + 1];
                add_input_sums(area, adjoint, scratch.input);
                local_adjoint_step(net.offset[area], end, adjoint, state, before);
                panel = accumulate_rows<S, false>(net.products[1], panel, end, adjoint, before, size > kNearFloats);
                edge = add_edge_gradients(edge, area + 1, adjoint, state);
            }
            if (slice.area_sums) area_gradients(masked, adjoint, state);
        } else {
            for (int area = 0; area < net.areas; ++area) {
                add_input_sums(area, adjoint, scratch.input);
                local_adjoint_step(net.offset[area], net.offset[area + 1], adjoint, state, before);
            }
            if (slice.area_sums) area_gradients(masked, adjoint, state);
            if (net.form == Form::kEdges) {
                uncouple_edges(t, state, before);
            } else if (net.form != Form::kNone) {
                uncouple(t, state, before);
            }
        }
        if (!masked) return;
        for (int64_t i = 0; i < size; i += W) store(before + i, load(before + i) + load(scratch.held + i));
    }

    // The adjoint of sequences that have ended passes by step t, in `held`.
    void hold_back(int t, float* adjoint) const {
        for (int j = 0; j < V; ++j) {
            const IntVec mask = running(t, j);
            for (int64_t i = j * W; i < size; i += S) {
                const Vec value = load(adjoint + i);
                store(scratch.held + i, mask ? zero() : value);
                store(adjoint + i, mask ? value : zero());
            }
        }
    }

    // add_area_sums borrows `held`, which a masked step has filled.
    void area_gradients(bool masked, const float* gradient, const float* x) const {
        if (masked) copy(scratch.state, scratch.held, size);
        add_area_sums(gradient, x);
        if (masked) copy(scratch.held, scratch.state, size);
    }

    // From the adjoint at y to that at x, in place. With a = (I + c K)^-1 of the adjoint at y, the adjoint at x is
    // 2 a - it, and the gradient of the coupling is h a z^T on the edges, z = (x + y) / 2. x_t is made again from
    // y_t-1: cheaper than keeping it or solving for it.
    void uncouple(int t, const float* y, float* adjoint) const {
        const float* x = slice.checkpoints + t / slice.segment * stride;
        if (t % slice.segment > 0) {
            load_inputs(t - 1, scratch.input_before);
            local_step(y - stride, scratch.input_before, scratch.following);
            x = scratch.following;
        }
        float* middle = scratch.solved;
        for (int64_t i = 0; i < size; i += W) store(middle + i, 0.5f * (load(x + i) + load(y + i)));
        float* solved = scratch.following;
        solve<true>(adjoint, solved);
        add_edge_gradients(0, net.areas, solved, middle);
        for (int64_t i = 0; i < size; i += W) store(adjoint + i, 2 * load(solved + i) - load(adjoint + i));
    }

    void backward() const {
        clear(slice.totals, net.n_totals);
        if (slice.area_sums) clear(slice.area_sums, net.n_area_totals);
        clear(slice.lane_sums, int64_t(net.units) * kSumLanes);
        clear(slice.lane_input_sums, int64_t(net.units) * (wide() ? input_ld() : net.channels * kSumLanes));
        if (slice.grad_inputs)
            for (int t = slice.longest; t < slice.steps; ++t)
                clear(slice.grad_inputs + (int64_t(t) * slice.batch + slice.first) * net.channels,
                      int64_t(slice.lanes) * net.channels);
        // The last segment is still in its slots.
        float* adjoint = scratch.adjoint;
        float* before = scratch.inner;
        clear(adjoint, size);
        if (slice.all_states) {
            for (int t = slice.steps - 1; t >= slice.longest; --t)
                add_states<S>(grad_output(t), net.units, slice.lanes, adjoint);
        } else {
            add_states<S>(grad_output(0), net.units, slice.lanes, adjoint);
        }
        const int last = slice.longest > 0 ? (slice.longest - 1) / slice.segment : -1;
        for (int segment = last; segment >= 0; --segment) {
            if (segment < last) recompute(segment);
            const int start = segment * slice.segment;
            const int end = segment == last ? slice.longest : start + slice.segment;
            for (int t = end - 1; t >= start; --t) {
                if (slice.all_states) add_states<S>(grad_output(t), net.units, slice.lanes, adjoint);
                step_back(t, adjoint, before);
                float* swap = adjoint;
                adjoint = before;
                before = swap;
            }
        }
        finish_input_sums();
        if (slice.grad_initial)
            write_states<S>(adjoint, net.units, slice.lanes, slice.grad_initial + int64_t(slice.first) * net.units);
    }
};

int64_t scratch_floats(const Network& net, int32_t width) {
    return width == 16 ? Scratch<16>::floats(net) : width == 32 ? Scratch<32>::floats(net) : Scratch<64>::floats(net);
}

void forward(const Network& net, const Slice& slice) {
    if (slice.width == 16) {
        Loop<16>(net, slice).forward();
    } else if (slice.width == 32) {
        Loop<32>(net, slice).forward();
    } else {
        Loop<64>(net, slice).forward();
    }
}

void backward(const Network& net, const Slice& slice) {
    if (slice.width == 16) {
        Loop<16>(net, slice).backward();
    } else if (slice.width == 32) {
        Loop<32>(net, slice).backward();
    } else {
        Loop<64>(net, slice).backward();
    }
}

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

constexpr Level kLevel = {
    TOPO_SEARCH_STRING(TOPO_SEARCH_LEVEL), pack, scratch_floats, add_gram, invert, forward, backward};

}  // namespace

const Level* TOPO_SEARCH_JOIN(TOPO_SEARCH_LEVEL, _level)() { return &kLevel; }

}  // namespace topo_search
