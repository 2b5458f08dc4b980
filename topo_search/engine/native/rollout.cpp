// One network over one batch: its slices, their memory, and the sums of what they leave.
#include "rollout.hpp"

#include <algorithm>
#include <atomic>

#include "threads.hpp"

namespace topo_search {
namespace {

// Sums of at most so many steps' states on a segment where none are kept.
constexpr int64_t kUnkeptSegment = 8;

// Bytes of one state that the second-level cache should hold.
constexpr int64_t kStateBytes = int64_t(1) << 20;

// Units from which a slice of 32 sequences is about as fast, for each sequence, as one of 64.
constexpr int64_t kLargeUnits = 256;

// Sequences a slice: a function of the problem alone, so that results do not depend on the number of threads.
int32_t slice_width(int64_t batch, int64_t units) {
    // Two slices give two threads work; on small networks narrow slices cost more than that is worth.
    const bool halved = batch <= 64 && units >= kLargeUnits;
    int32_t width = batch <= 16 ? 16 : batch <= 32 || halved ? 32 : 64;
    while (width > kLanes && width * units * int64_t(sizeof(float)) > kStateBytes) width /= 2;
    return width;
}

// The longest segment whose states, with one state kept for every segment, fit the budget.
int64_t segment_length(int64_t steps, int64_t state_bytes, int64_t budget) {
    if (budget <= 0) return steps;
    const int64_t states = budget / std::max<int64_t>(1, state_bytes);
    int64_t best = 1;
    int64_t fewest = 2 + steps;
    for (int64_t length = 1; length <= steps; ++length) {
        const int64_t needed = length + 1 + (steps + length - 1) / length;
        if (needed <= states) best = length;
        fewest = std::min(fewest, needed);
    }
    if (fewest <= states) return best;
    for (int64_t length = 1; length <= steps; ++length)
        if (length + 1 + (steps + length - 1) / length == fewest) return length;
    return steps;
}

}  // namespace

Rollout::Rollout(const Problem& problem, const Level& level)
    : problem_(problem), level_(level), width_(0), segment_(0) {
    const int32_t areas = static_cast<int32_t>(problem_.sizes.size());
    offset_.assign(1, 0);
    padded_.assign(1, 0);
    for (const int32_t size : problem_.sizes) {
        offset_.push_back(offset_.back() + size);
        padded_.push_back(padded_.back() + padded_size(size));
    }
    const int32_t units = offset_.back();
    width_ = slice_width(problem_.batch, units);
    if (problem_.form != Form::kEuler && problem_.edges.empty()) problem_.form = Form::kNone;

    network_.units = units;
    network_.areas = areas;
    network_.channels = static_cast<int32_t>(problem_.channels);
    network_.offset = offset_.data();
    network_.padded = padded_.data();
    network_.sees_input = problem_.sees_input.data();
    network_.form = problem_.form;
    network_.scheme = problem_.scheme;
    network_.relu = problem_.relu.data();
    network_.all_relu = std::all_of(problem_.relu.begin(), problem_.relu.end(), [](uint8_t relu) { return relu != 0; });
    network_.skew = problem_.skew;
    network_.input_weights = problem_.input_weights;
    network_.n_edges = static_cast<int32_t>(problem_.edges.size());
    network_.largest = *std::max_element(problem_.sizes.begin(), problem_.sizes.end());
    network_.series = problem_.series.data();
    network_.order = static_cast<int32_t>(problem_.series.size()) - 1;
    make_sparse();
    plan();
    pack();
    make_slices();
}

void Rollout::make_slices() {
    const int64_t count = (problem_.batch + width_ - 1) / width_;
    const int64_t state = int64_t(network_.units) * width_ + kApart;
    const int64_t state_bytes = count * state * int64_t(sizeof(float));
    segment_ = problem_.keep ? segment_length(problem_.steps, state_bytes, problem_.state_budget)
                             : std::min(problem_.steps, kUnkeptSegment);
    const int64_t segments = problem_.keep ? (problem_.steps + segment_ - 1) / segment_ : 0;
    const int64_t states = (segment_ + 1 + segments) * state;
    const int64_t scratch = level_.scratch(network_, width_);
    states_ = Buffer(count * states, problem_.fill_nan);
    scratch_ = Buffer(count * scratch, problem_.fill_nan);
    length_.assign(count * width_, 0);
    for (int64_t s = 0; s < count; ++s) {
        Slice slice{};
        slice.width = width_;
        slice.first = static_cast<int32_t>(s * width_);
        slice.lanes = static_cast<int32_t>(std::min<int64_t>(width_, problem_.batch - slice.first));
        slice.steps = static_cast<int32_t>(problem_.steps);
        slice.batch = problem_.batch;
        int32_t* length = length_.data() + s * width_;
        for (int32_t b = 0; b < slice.lanes; ++b)
            length[b] = problem_.lengths != nullptr ? static_cast<int32_t>(problem_.lengths[slice.first + b])
                                                    : slice.steps;
        slice.length = length;
        slice.shortest = *std::min_element(length, length + width_);
        slice.longest = *std::max_element(length, length + width_);
        slice.inputs = problem_.inputs;
        slice.initial = problem_.initial;
        slice.all_states = problem_.all_states;
        slice.segment = static_cast<int32_t>(segment_);
        slice.keep = problem_.keep;
        slice.slots = states_.data() + s * states;
        slice.checkpoints = slice.slots + (segment_ + 1) * state;
        slice.scratch = scratch_.data() + s * scratch;
        slices_.push_back(slice);
    }
}

void Rollout::begin_forward(float* output) {
    for (Slice& slice : slices_) slice.output = output;
}

void Rollout::forward(int32_t slice) { level_.forward(network_, slices_[slice]); }

void Rollout::end_forward() {
    for (Slice& slice : slices_) slice.initial = nullptr;
    if (!problem_.keep) states_ = Buffer();
    scratch_ = Buffer();
}

void Rollout::begin_backward(const float* grad_output, const Gradients& gradients) {
    targets_ = gradients;
    const int64_t units = network_.units;
    const int64_t inputs = units * network_.channels;
    const int64_t areas = gradients.area_weights != nullptr ? network_.n_area_totals : 0;
    const int64_t input_lanes = std::max<int64_t>(inputs * kSumLanes, units * padded_size(network_.channels));
    const int64_t scratch = level_.scratch(network_, width_);
    // What is summed over slices comes first, the lanes' own sums after it; starts stay aligned.
    const auto aligned = [](int64_t floats) { return (floats + kLanes - 1) / kLanes * kLanes; };
    sums_floats_ = aligned(network_.n_totals + areas + units + inputs);
    const int64_t floats = sums_floats_ + aligned(units * kSumLanes) + aligned(input_lanes);
    scratch_ = Buffer(static_cast<int64_t>(slices_.size()) * scratch, problem_.fill_nan);
    sums_ = Buffer(static_cast<int64_t>(slices_.size()) * floats, problem_.fill_nan);
    for (std::size_t s = 0; s < slices_.size(); ++s) {
        Slice& slice = slices_[s];
        slice.scratch = scratch_.data() + static_cast<int64_t>(s) * scratch;
        slice.grad_output = grad_output;
        slice.grad_inputs = gradients.inputs;
        slice.grad_initial = gradients.initial;
        float* at = sums_.data() + static_cast<int64_t>(s) * floats;
        slice.totals = at;
        slice.area_sums = areas > 0 ? at + network_.n_totals : nullptr;
        slice.bias_sums = at + network_.n_totals + areas;
        slice.input_sums = slice.bias_sums + units;
        slice.lane_sums = at + sums_floats_;
        slice.lane_input_sums = slice.lane_sums + aligned(units * kSumLanes);
    }
}

void Rollout::backward(int32_t slice) { level_.backward(network_, slices_[slice]); }

void Rollout::end_backward() {
    // Always in order of slices, whichever thread was first.
    float* sum = slices_[0].totals;
    const int64_t used = slices_[0].input_sums - sum + int64_t(network_.units) * network_.channels;
    for (std::size_t s = 1; s < slices_.size(); ++s)
        for (int64_t i = 0; i < used; ++i) sum[i] += slices_[s].totals[i];

    const float h = static_cast<float>(problem_.h);
    const Slice& total = slices_[0];
    for (int32_t i = 0; i < network_.units; ++i) targets_.bias[i] = speed_[i] * total.bias_sums[i];
    for (int32_t area = 0; area < network_.areas; ++area) {
        const int64_t first = int64_t(offset_[area]) * network_.channels;
        const int64_t count = int64_t(rows(area)) * network_.channels;
        // Areas that see no input have no sums.
        for (int64_t i = first; i < first + count; ++i)
            targets_.input_weights[i] = problem_.sees_input[area] ? speed_[offset_[area]] * total.input_sums[i] : 0.0f;
    }
    int64_t at = 0;
    for (std::size_t e = 0; e < gradients_.size(); ++e) {
        const EdgeGradient& edge = gradients_[e];
        const auto& [i, j] = problem_.edges[e];
        const int32_t n_i = rows(i);
        const int32_t n_j = rows(j);
        const int32_t ld = padded_size(rows(edge.column));
        const bool low = edge.column == i;
        // `first` is the gradient of L from column to row; `second` that of the other direction, transposed.
        const float* up = total.totals + (low || problem_.skew ? edge.first : edge.second);
        const float* down = total.totals + (low ? edge.second : edge.first);
        const float sign = problem_.skew && !low ? -h : h;
        for (int32_t r = 0; r < n_j; ++r) {
            for (int32_t k = 0; k < n_i; ++k) {
                const int64_t from = low ? int64_t(r) * ld + k : int64_t(k) * ld + r;
                targets_.forward[at + int64_t(r) * n_i + k] = sign * up[from];
                if (targets_.backward != nullptr) targets_.backward[at + int64_t(r) * n_i + k] = h * down[from];
            }
        }
        at += int64_t(n_i) * n_j;
    }
    if (targets_.area_weights != nullptr) {
        float* to = targets_.area_weights;
        for (int32_t area = 0; area < network_.areas; ++area) {
            const int32_t n = rows(area);
            const float* from = total.area_sums + area_totals_[area];
            for (int32_t r = 0; r < n; ++r, from += padded_size(n))
                for (int32_t k = 0; k < n; ++k) *to++ = speed_[offset_[area]] * from[k];
        }
    }
    sums_ = Buffer();
    scratch_ = Buffer();
    states_ = Buffer();
}

namespace {

struct Jobs {
    std::vector<std::pair<Rollout*, int32_t>> slices;
    void (Rollout::*run)(int32_t);
    std::atomic<std::size_t> next{0};
};

void serve(void* data) {
    Jobs& jobs = *static_cast<Jobs*>(data);
    for (std::size_t job = jobs.next++; job < jobs.slices.size(); job = jobs.next++)
        (jobs.slices[job].first->*jobs.run)(jobs.slices[job].second);
}

void run_slices(const std::vector<Rollout*>& rollouts, int threads, void (Rollout::*run)(int32_t)) {
    Jobs jobs;
    jobs.run = run;
    for (Rollout* rollout : rollouts)
        for (int32_t s = 0; s < rollout->n_slices(); ++s) jobs.slices.emplace_back(rollout, s);
    on_threads(std::min(threads, static_cast<int>(jobs.slices.size())), serve, &jobs);
}

}  // namespace

void run_forward(const std::vector<Rollout*>& rollouts, int threads) {
    run_slices(rollouts, threads, &Rollout::forward);
    for (Rollout* rollout : rollouts) rollout->end_forward();
}

void run_backward(const std::vector<Rollout*>& rollouts, int threads) {
    run_slices(rollouts, threads, &Rollout::backward);
    for (Rollout* rollout : rollouts) rollout->end_backward();
}

}  // namespace topo_search
