// What is multiplied by what in a time step, and the packed weights of it.
#include <algorithm>
#include <numeric>

#include "rollout.hpp"

namespace topo_search {
namespace {

enum Array : int32_t { kForward, kBackward, kMatrix };

// Source floats that a panel goes through at once: they should stay in the first-level cache.
constexpr int32_t kSourceFloats = 8192;

}  // namespace

// A directed block: `rows` of the destination take the product with `columns` of the source.
struct Rollout::Block {
    int32_t dest;
    int32_t rows;
    int32_t source;
    int32_t columns;
    Segment weights;
};

std::vector<Rollout::Block> Rollout::coupling_blocks(bool transpose, float scale) const {
    std::vector<Block> blocks;
    blocks.reserve(2 * problem_.edges.size());
    const int32_t back = problem_.skew ? kForward : kBackward;
    const float sign = problem_.skew ? -scale : scale;
    int64_t at = 0;
    for (const auto& [i, j] : problem_.edges) {
        const int32_t n_i = rows(i);
        const int32_t n_j = rows(j);
        // Packed blocks are (n_j, n_i): L_ji row by row, and L_ij transposed.
        Segment up{offset_[i], n_i, kForward, n_i, 1, scale, at};
        Segment down{offset_[j], n_j, back, 1, n_i, sign, at};
        if (transpose) {
            std::swap(up.array, down.array);
            std::swap(up.scale, down.scale);
        }
        blocks.push_back({offset_[j], n_j, offset_[i], n_i, up});
        blocks.push_back({offset_[i], n_i, offset_[j], n_j, down});
        at += int64_t(n_i) * n_j;
    }
    std::stable_sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) {
        return a.dest != b.dest ? a.dest < b.dest : a.source < b.source;
    });
    return blocks;
}

// Blocks of one destination that come one after another share panels.
void Rollout::add_product(const std::vector<Block>& blocks) {
    if (product_panels_.empty()) product_panels_.push_back(0);
    const int32_t limit = kSourceFloats / width_;
    for (std::size_t b = 0; b < blocks.size();) {
        Panel panel{blocks[b].dest, blocks[b].rows, static_cast<int32_t>(segments_.size()), 0, 0};
        int32_t columns = 0;
        while (b < blocks.size() && blocks[b].dest == panel.dest &&
               (columns == 0 || columns + blocks[b].columns <= limit)) {
            Segment segment = blocks[b].weights;
            segment.source = blocks[b].source;
            segment.count = blocks[b].columns;
            segments_.push_back(segment);
            columns += blocks[b].columns;
            ++b;
        }
        panel.last = static_cast<int32_t>(segments_.size());
        panels_.push_back(panel);
    }
    product_panels_.push_back(static_cast<int64_t>(panels_.size()));
}

void Rollout::plan_euler() {
    const float h = static_cast<float>(problem_.h);
    add_product(coupling_blocks(false, h));
    add_product(coupling_blocks(true, h));
}

void Rollout::plan_series() { add_product(coupling_blocks(false, problem_.series_scale)); }

void Rollout::plan_cover() {
    const int32_t areas = network_.areas;
    cover_row_.assign(areas, -1);
    int32_t at = 0;
    for (const int32_t area : problem_.cover) {
        cover_row_[area] = at;
        at += rows(area);
    }
    for (int32_t area = 0; area < areas; ++area)
        if (cover_row_[area] < 0) independent_.push_back(area);
    network_.cover = problem_.cover.data();
    network_.n_cover = static_cast<int32_t>(problem_.cover.size());
    network_.independent = independent_.data();
    network_.n_independent = static_cast<int32_t>(independent_.size());
    network_.cover_rows = at;

    std::vector<int32_t> area_at(network_.units);
    for (int32_t area = 0; area < areas; ++area)
        std::fill(area_at.begin() + offset_[area], area_at.begin() + offset_[area + 1], area);
    const std::vector<Block> blocks = coupling_blocks(false, static_cast<float>(problem_.half));
    if (problem_.matrix == nullptr) make_inverse(blocks, area_at);
    std::vector<Block> into;
    std::vector<Block> out_of;
    for (Block block : blocks) {
        const int32_t dest = cover_row_[area_at[block.dest]];
        const bool source_covered = cover_row_[area_at[block.source]] >= 0;
        if (dest >= 0 && !source_covered) {
            block.dest = dest;
            into.push_back(block);
        } else if (dest < 0 && source_covered) {
            out_of.push_back(block);
        }
    }
    add_product(into);
    add_product(out_of);
    add_inverse(false);
    add_inverse(true);
}

// The inverse of S = I - c K_HH + c^2 K_RH^T K_RH, H the cover and R the other areas; row by row.
void Rollout::make_inverse(const std::vector<Block>& blocks, const std::vector<int32_t>& area_at) {
    const int64_t n = network_.cover_rows;
    std::vector<double> system(n * n, 0.0);
    for (int64_t i = 0; i < n; ++i) system[i * n + i] = 1;
    const auto weight = [&](const Segment& segment, int32_t r, int32_t k) {
        return double(segment.scale) *
               problem_.forward[segment.weights + int64_t(r) * segment.row_stride + int64_t(k) * segment.column_stride];
    };
    std::vector<double> gram_rows;
    std::vector<int32_t> columns;
    for (std::size_t b = 0; b < blocks.size();) {
        const int32_t dest = cover_row_[area_at[blocks[b].dest]];
        std::size_t end = b;
        columns.clear();
        for (; end < blocks.size() && blocks[end].dest == blocks[b].dest; ++end) {
            const int32_t source = cover_row_[area_at[blocks[end].source]];
            if (source < 0) continue;
            for (int32_t k = 0; k < blocks[end].columns; ++k) columns.push_back(source + k);
            if (dest < 0) continue;
            for (int32_t r = 0; r < blocks[end].rows; ++r)
                for (int32_t k = 0; k < blocks[end].columns; ++k)
                    system[(dest + r) * n + source + k] -= weight(blocks[end].weights, r, k);
        }
        if (dest < 0) {
            gram_rows.clear();
            for (int32_t r = 0; r < blocks[b].rows; ++r)
                for (std::size_t other = b; other < end; ++other)
                    for (int32_t k = 0; k < blocks[other].columns; ++k)
                        gram_rows.push_back(weight(blocks[other].weights, r, k));
            level_.add_gram(system.data(), n, gram_rows.data(), blocks[b].rows, columns.data(),
                            static_cast<int64_t>(columns.size()), 1.0);
        }
        b = end;
    }
    std::vector<double> work(kPivots * n);
    level_.invert(system.data(), n, work.data());
    inverse_.assign(system.begin(), system.end());
    problem_.matrix = inverse_.data();
}

// The dense product with the inverse: sources in chunks, all destinations for each chunk.
void Rollout::add_inverse(bool transpose) {
    const int32_t n = network_.cover_rows;
    const bool whole = independent_.empty();
    struct Run {
        int32_t row;  // in the state
        int32_t at;   // among the covered
        int32_t count;
    };
    std::vector<Run> runs;
    for (const int32_t area : problem_.cover) {
        if (!runs.empty() && runs.back().row + runs.back().count == offset_[area]) {
            runs.back().count += rows(area);
        } else {
            runs.push_back({offset_[area], cover_row_[area], rows(area)});
        }
    }
    const int32_t limit = kSourceFloats / width_;
    std::vector<Block> blocks;
    for (const Run& source : runs) {
        for (int32_t k = 0; k < source.count; k += limit) {
            const int32_t count = std::min(limit, source.count - k);
            for (const Run& dest : runs) {
                const int64_t first = transpose ? int64_t(source.at + k) * n + dest.at
                                                : int64_t(dest.at) * n + source.at + k;
                const Segment segment{0, 0, kMatrix, transpose ? 1 : n, transpose ? n : 1, 1.0f, first};
                blocks.push_back({dest.row, dest.count, (whole ? source.row : source.at) + k, count, segment});
            }
        }
    }
    add_product(blocks);
}

// For each edge the inverse of I + c^2 B^T B, B from the area that is solved for to the other, in float64.
void Rollout::make_edge_inverses() {
    const double c = problem_.half;
    std::vector<double> system;
    std::vector<double> block_rows;
    std::vector<double> work;
    std::vector<int32_t> columns;
    const float* block = problem_.forward;
    for (std::size_t e = 0; e < problem_.edges.size(); ++e) {
        const auto& [i, j] = problem_.edges[e];
        const bool low = gradients_[e].column == i;
        const int64_t n = rows(gradients_[e].column);
        const int64_t other = rows(gradients_[e].row);
        system.assign(n * n, 0.0);
        for (int64_t k = 0; k < n; ++k) system[k * n + k] = 1;
        block_rows.resize(other * n);
        for (int64_t r = 0; r < other; ++r)
            for (int64_t k = 0; k < n; ++k) block_rows[r * n + k] = c * block[low ? r * n + k : k * other + r];
        columns.resize(n);
        std::iota(columns.begin(), columns.end(), 0);
        level_.add_gram(system.data(), n, block_rows.data(), other, columns.data(), n, 1.0);
        work.resize(kPivots * n);
        level_.invert(system.data(), n, work.data());
        inverse_.insert(inverse_.end(), system.begin(), system.end());
        block += n * other;
    }
    problem_.matrix = inverse_.data();
}

void Rollout::plan_edges() {
    if (problem_.matrix == nullptr) make_edge_inverses();
    const float c = static_cast<float>(problem_.half);
    int64_t inverse = 0;
    int64_t at = 0;
    for (std::size_t e = 0; e < problem_.edges.size(); ++e) {
        const auto& [i, j] = problem_.edges[e];
        const int32_t n_i = rows(i);
        const bool low = gradients_[e].column == i;
        const int32_t n_solved = rows(gradients_[e].column);
        const int32_t n_other = rows(gradients_[e].row);
        // K_ji is the packed block, K_ij its negative transpose; `up` is from i to j.
        const Segment up{0, 0, kForward, n_i, 1, c, at};
        const Segment down{0, 0, kForward, 1, n_i, -c, at};
        add_product({{0, n_solved, 0, n_other, low ? down : up}});
        add_product({{0, n_solved, 0, n_solved, Segment{0, 0, kMatrix, n_solved, 1, 1.0f, inverse}}});
        add_product({{0, n_other, 0, n_solved, low ? up : down}});
        inverse += int64_t(n_solved) * n_solved;
        at += int64_t(n_i) * rows(j);
    }
}

// Transposing an area serves all its edges: areas with many edges become the columns.
void Rollout::plan_gradients() {
    const int32_t areas = network_.areas;
    std::vector<int32_t> column(problem_.edges.size(), -1);
    if (problem_.form == Form::kEdges) {
        for (std::size_t e = 0; e < column.size(); ++e) {
            const auto& [i, j] = problem_.edges[e];
            column[e] = rows(j) < rows(i) ? j : i;
        }
    } else {
        std::vector<std::vector<int32_t>> edges_of(areas);
        std::vector<int32_t> left(areas, 0);
        for (std::size_t e = 0; e < column.size(); ++e) {
            for (const int32_t area : {problem_.edges[e].first, problem_.edges[e].second}) {
                edges_of[area].push_back(static_cast<int32_t>(e));
                ++left[area];
            }
        }
        for (;;) {
            const int32_t area = static_cast<int32_t>(std::max_element(left.begin(), left.end()) - left.begin());
            if (left[area] == 0) break;
            for (const int32_t e : edges_of[area]) {
                if (column[e] >= 0) continue;
                column[e] = area;
                --left[problem_.edges[e].first];
                --left[problem_.edges[e].second];
            }
        }
    }
    int64_t at = 0;
    const auto take = [&](int32_t row, int32_t col) {
        const int64_t start = at;
        at += int64_t(rows(row)) * padded_size(rows(col));
        return start;
    };
    for (std::size_t e = 0; e < column.size(); ++e) {
        const auto& [i, j] = problem_.edges[e];
        const int32_t row = column[e] == i ? j : i;
        const int64_t first = take(row, column[e]);
        const int64_t second = problem_.skew ? first : take(row, column[e]);
        gradients_.push_back({row, column[e], first, second});
    }
    network_.n_totals = at;
    by_column_.resize(column.size());
    std::iota(by_column_.begin(), by_column_.end(), 0);
    std::stable_sort(by_column_.begin(), by_column_.end(), [&](int32_t a, int32_t b) { return column[a] < column[b]; });
    area_totals_.clear();
    at = 0;
    for (int32_t area = 0; area < areas; ++area) area_totals_.push_back(take(area, area));
    network_.n_area_totals = at;
}

void Rollout::plan() {
    plan_gradients();
    switch (problem_.form) {
        case Form::kEuler: plan_euler(); break;
        case Form::kCover: plan_cover(); break;
        case Form::kSeries: plan_series(); break;
        case Form::kEdges: plan_edges(); break;
        case Form::kNone: break;
    }
    network_.by_column = by_column_.data();
    network_.gradients = gradients_.data();
    network_.area_totals = area_totals_.data();
}

void Rollout::pack() {
    int64_t floats = 0;
    for (Panel& panel : panels_) {
        panel.packed = floats;
        for (int32_t s = panel.first; s < panel.last; ++s) floats += int64_t(panel.rows) * segments_[s].count;
    }
    packed_ = Buffer(floats, problem_.fill_nan);
    const float* const arrays[3] = {problem_.forward, problem_.backward, problem_.matrix};
    for (std::size_t p = 0; p + 1 < product_panels_.size(); ++p) {
        products_.push_back({panels_.data() + product_panels_[p],
                             static_cast<int32_t>(product_panels_[p + 1] - product_panels_[p]), segments_.data(),
                             packed_.data()});
        level_.pack(products_.back(), width_, arrays, packed_.data());
    }
    network_.products = products_.data();
}

// Most area weights are zero (3.3 % of the sparse recipe), and most areas do not see the input.
void Rollout::make_sparse() {
    const int32_t units = network_.units;
    const double kept = problem_.scheme == Scheme::kMean ? 2 : 1;
    for (int32_t area = 0; area < network_.areas; ++area) {
        const double h = problem_.h * problem_.speeds[area];
        leak_.insert(leak_.end(), rows(area), static_cast<float>(kept - h));
        speed_.insert(speed_.end(), rows(area), static_cast<float>(h));
    }
    area_start_.assign(1, 0);
    std::vector<int32_t> in_column(units + 1, 0);
    const float* block = problem_.area_weights;
    for (int32_t area = 0; area < network_.areas; ++area) {
        const int32_t n = rows(area);
        for (int32_t r = 0; r < n; ++r, block += n) {
            for (int32_t k = 0; k < n; ++k) {
                if (block[k] == 0) continue;
                area_column_.push_back(offset_[area] + k);
                area_value_.push_back(speed_[offset_[area]] * block[k]);
                ++in_column[offset_[area] + k + 1];
            }
            area_start_.push_back(static_cast<int32_t>(area_column_.size()));
        }
    }
    std::partial_sum(in_column.begin(), in_column.end(), in_column.begin());
    area_t_start_ = in_column;
    area_t_column_.resize(area_column_.size());
    area_t_value_.resize(area_column_.size());
    for (int32_t row = 0; row < units; ++row) {
        for (int32_t e = area_start_[row]; e < area_start_[row + 1]; ++e) {
            const int32_t to = in_column[area_column_[e]]++;
            area_t_column_[to] = row;
            area_t_value_[to] = area_value_[e];
        }
    }
    input_start_.assign(1, 0);
    for (int32_t row = 0; row < units; ++row) {
        for (int32_t c = 0; c < network_.channels; ++c) {
            const float weight = problem_.input_weights[int64_t(row) * network_.channels + c];
            if (weight == 0) continue;
            input_column_.push_back(c);
            input_value_.push_back(speed_[row] * weight);
        }
        input_start_.push_back(static_cast<int32_t>(input_column_.size()));
    }
    bias_.resize(units);
    for (int32_t row = 0; row < units; ++row) bias_[row] = speed_[row] * problem_.bias[row];
    if (problem_.level != nullptr) level_values_.assign(problem_.level, problem_.level + units);
    network_.area = {area_start_.data(), area_column_.data(), area_value_.data()};
    network_.area_transposed = {area_t_start_.data(), area_t_column_.data(), area_t_value_.data()};
    network_.input = {input_start_.data(), input_column_.data(), input_value_.data()};
    network_.bias = bias_.data();
    network_.leak = leak_.data();
    network_.speed = speed_.data();
    network_.level = problem_.level != nullptr ? level_values_.data() : nullptr;
}

}  // namespace topo_search
