// The contract between the planning code and the kernels: plain data only.
//
// kernel.cpp is compiled once per instruction-set level. Nothing that the linker could merge across levels (no library
// template, no inline function with external linkage) may appear here or there: baseline code would then execute
// instructions of another level.
#pragma once

#include <cstdint>

namespace topo_search {

// Rows of a state are units, `width` sequences each; widths are multiples of this.
constexpr int32_t kLanes = 16;

// Floats in which a sum over the batch is kept while it grows.
constexpr int32_t kSumLanes = 4;

// Floats between states and buffers: at a distance of whole pages, a load after a store would wait for it in vain.
constexpr int64_t kApart = 13 * kLanes;

// Channels from which the gradient of input weights is summed in register tiles.
constexpr int32_t kWideInput = 6;

// Pivots eliminated together.
constexpr int64_t kPivots = 8;

// `count` consecutive source rows that a panel multiplies, and where the weights of (row, source) lie before packing:
// scale * arrays[array][weights + row * row_stride + source * column_stride].
struct Segment {
    int32_t source;
    int32_t count;
    int32_t array;
    int32_t row_stride;
    int32_t column_stride;
    float scale;
    int64_t weights;
};

// Destination rows [dest, dest + rows) take the products with segments [first, last).
struct Panel {
    int32_t dest;
    int32_t rows;
    int32_t first;
    int32_t last;
    int64_t packed;
};

// out += packed source, block by block.
struct Product {
    const Panel* panels;
    int32_t n_panels;
    const Segment* segments;
    const float* packed;
};

// Gradient of an edge: `row` is broadcast, `column` is transposed. `first` sums adjoint(row) state(column)^T, `second`
// state(row) adjoint(column)^T; where the coupling is skew only their difference is kept, in `first`.
struct EdgeGradient {
    int32_t row;
    int32_t column;
    int64_t first;
    int64_t second;
};

// Compressed rows.
struct Sparse {
    const int32_t* start;
    const int32_t* column;
    const float* value;
};

enum class Form : int32_t { kNone, kEuler, kCover, kSeries, kEdges };

// When the coupling acts. kTurn: y = Q x, then the local step of y (Cayley). kSettle: the local step, then
// (I - c K)^-1 of it (resolvent). kMean: the local step with twice the state, then (I - c K)^-1 of it, less the state
// (IMEX Crank-Nicolson). Euler's coupling is part of the local step.
enum class Scheme : int32_t { kTurn, kSettle, kMean };

// One network, packed; shared by all slices of its batch. Weights are scaled by the step h, inside areas by h r.
struct Network {
    int32_t units;
    int32_t areas;
    int32_t channels;
    const int32_t* offset;      // (areas + 1,) first row of an area
    const int32_t* padded;      // (areas + 1,) the same with sizes rounded up to kLanes
    const uint8_t* sees_input;  // (areas,)
    Form form;
    Scheme scheme;
    const uint8_t* relu;  // (areas,) ReLU or tanh
    int32_t all_relu;
    int32_t skew;
    const float* leak;   // (units,) share of a state that the local step keeps: 1 - h r, for kMean 2 - h r
    const float* speed;  // (units,) h r, r the area's speed
    Sparse area;
    Sparse area_transposed;
    Sparse input;
    const float* input_weights;  // (units, channels), unscaled, for the gradient of the inputs
    const float* bias;
    const float* level;  // (units,), or null: all 1
    // kEuler: h L, h L^T. kCover: c K from the independent areas to the cover, c K from the cover to them, the inverse
    // of the Schur complement, its transpose. kSeries: (2 c / r) K. kEdges: three an edge.
    const Product* products;
    const int32_t* cover;  // areas
    int32_t n_cover;
    const int32_t* independent;  // areas
    int32_t n_independent;
    int32_t cover_rows;
    const float* series;  // coefficients of the polynomials 0 .. order
    int32_t order;
    int32_t largest;  // units of the largest area
    // One an edge, in order of edges; kEdges solves for the column area.
    const EdgeGradient* gradients;
    const int32_t* by_column;  // edges, those of one column area together
    int32_t n_edges;
    int64_t n_totals;
    int64_t n_area_totals;
    const int64_t* area_totals;  // (areas,) where an area's gradient starts; rows are padded
};

// A slice of the batch over the whole sequence; one thread owns it.
struct Slice {
    int32_t width;
    int32_t first;
    int32_t lanes;  // sequences that exist; the others are padding of length 0
    int32_t steps;
    int64_t batch;
    const int32_t* length;  // (width,)
    int32_t shortest;
    int32_t longest;
    const float* inputs;   // (steps, batch, channels)
    const float* initial;  // (batch, units) or null
    float* output;         // (batch, units) or (steps, batch, units)
    int32_t all_states;
    // States kept: of every step of one segment, and the state at the start of every segment. kTurn keeps y_t, the
    // others x_t.
    int32_t segment;
    int32_t keep;
    float* checkpoints;
    float* slots;
    float* scratch;
    // Backward.
    const float* grad_output;
    float* grad_inputs;   // or null
    float* grad_initial;  // or null
    float* totals;        // edges; zeroed here
    float* area_sums;     // or null
    float* bias_sums;     // (units,)
    float* input_sums;    // (units, channels)
    float* lane_sums;     // (units, kSumLanes), scratch
    float* lane_input_sums;  // (units, channels, kSumLanes), or rows of channels rounded up to kLanes; scratch
};

// The kernels of one level.
struct Level {
    const char* name;
    void (*pack)(const Product& product, int32_t width, const float* const* arrays, float* packed);
    int64_t (*scratch)(const Network& network, int32_t width);  // floats
    // matrix (n, n) += factor * rows^T rows, of the columns given; rows (count, columns).
    void (*add_gram)(double* matrix, int64_t n, const double* rows, int64_t count, const int32_t* columns,
                     int64_t n_columns, double factor);
    // In place; the symmetric part must be positive definite, so that no pivot is needed.
    void (*invert)(double* matrix, int64_t n, double* work);  // work: (kPivots, n)
    void (*forward)(const Network& network, const Slice& slice);
    void (*backward)(const Network& network, const Slice& slice);
};

const Level* avx512_level();
const Level* avx2_level();
const Level* neon_level();

}  // namespace topo_search
