// One network over one batch: the plan of its products, its packed weights, its slices and their memory.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernel.hpp"
#include "memory.hpp"

namespace topo_search {

// Entries of a row whose end is aligned.
inline int32_t padded_size(int32_t size) { return (size + kLanes - 1) / kLanes * kLanes; }

// What a rollout reads; arrays belong to the caller and outlive it where said.
struct Problem {
    std::vector<int32_t> sizes;
    std::vector<std::pair<int32_t, int32_t>> edges;  // sorted, low < high
    std::vector<uint8_t> sees_input;
    std::vector<int32_t> cover;  // kCover: areas solved together, ascending; every edge has an end among them
    Form form;
    Scheme scheme;
    double half;                 // c: what is solved for is I - c K
    std::vector<double> speeds;  // (areas,) of each area's local step
    std::vector<uint8_t> relu;   // (areas,) or else tanh
    bool skew;
    bool all_states;
    bool keep;  // for backward
    bool fill_nan;
    double h;
    float series_scale;          // kSeries: 2 c / r
    std::vector<float> series;   // kSeries: coefficients
    int64_t steps;
    int64_t batch;
    int64_t channels;
    int64_t state_budget;  // bytes of states kept; 0: no limit
    const float* inputs;   // outlives the rollout
    const float* input_weights;  // outlives the rollout
    const float* bias;
    const float* area_weights;
    const float* forward;
    const float* backward;  // null where skew
    const float* matrix;    // kCover: the inverse of the Schur complement, kEdges: one an edge; made here where null
    const float* level;     // or null
    const float* initial;   // or null; outlives forward
    const int64_t* lengths;  // or null
};

struct Gradients {
    float* inputs;         // (steps, batch, channels) or null
    float* input_weights;  // (units, channels)
    float* bias;           // (units,)
    float* area_weights;   // packed, or null
    float* forward;        // packed; where skew, the whole gradient of B
    float* backward;       // packed, or null where skew
    float* initial;        // (batch, units) or null
};

class Rollout {
   public:
    Rollout(const Problem& problem, const Level& level);

    // Each slice may run on its own thread.
    int32_t n_slices() const { return static_cast<int32_t>(slices_.size()); }
    void begin_forward(float* output);
    void forward(int32_t slice);
    void end_forward();
    void begin_backward(const float* grad_output, const Gradients& gradients);
    void backward(int32_t slice);
    void end_backward();

    int32_t width() const { return width_; }
    int64_t segment() const { return segment_; }
    int64_t state_bytes() const { return states_.bytes(); }

   private:
    struct Block;

    int32_t rows(int32_t area) const { return problem_.sizes[area]; }
    void plan();
    void plan_euler();
    void plan_cover();
    void plan_series();
    void plan_edges();
    void plan_gradients();
    std::vector<Block> coupling_blocks(bool transpose, float scale) const;
    void add_product(const std::vector<Block>& blocks);
    void make_inverse(const std::vector<Block>& blocks, const std::vector<int32_t>& area_at);
    void make_edge_inverses();
    void add_inverse(bool transpose);
    void pack();
    void make_sparse();
    void make_slices();

    Problem problem_;
    const Level& level_;
    int32_t width_;
    int64_t segment_;
    Network network_{};
    std::vector<int32_t> offset_, padded_, independent_, length_, cover_row_, by_column_;
    std::vector<Segment> segments_;
    std::vector<Panel> panels_;
    std::vector<Product> products_;
    std::vector<int64_t> product_panels_;  // first panel of each product, and the end
    std::vector<EdgeGradient> gradients_;
    std::vector<int64_t> area_totals_;
    std::vector<int32_t> area_start_, area_column_, area_t_start_, area_t_column_, input_start_, input_column_;
    std::vector<float> area_value_, area_t_value_, input_value_, bias_, leak_, speed_, level_values_, inverse_;
    std::vector<Slice> slices_;
    Buffer packed_, states_, scratch_, sums_;
    int64_t sums_floats_ = 0;
    Gradients targets_{};
};

// Runs every slice of every rollout on at most `threads` threads. Results do not depend on their number.
void run_forward(const std::vector<Rollout*>& rollouts, int threads);
void run_backward(const std::vector<Rollout*>& rollouts, int threads);

}  // namespace topo_search
