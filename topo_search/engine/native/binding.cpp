// The Python module: checks every array, holds what the kernels read, and picks the level that the processor runs.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "memory.hpp"
#include "rollout.hpp"

namespace nb = nanobind;

namespace {

using topo_search::Form;
using topo_search::Gradients;
using topo_search::Level;
using topo_search::Problem;
using topo_search::Rollout;
using topo_search::Scheme;

// Raised with every change of what Python calls here.
constexpr int kInterface = 2;

template <typename T>
using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
using Floats = Array<const float>;
using OutFloats = Array<float>;

bool usable(const std::string& level) {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2");
    if (level == "avx2") return v3;
    if (level == "avx512")
        return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    return false;
#else
    return level == "neon";
#endif
}

// Best first.
std::vector<const Level* (*)()> compiled_levels([[maybe_unused]] std::vector<std::string>& names) {
    std::vector<const Level* (*)()> levels;
#if defined(TOPO_SEARCH_HAS_AVX512)
    names.emplace_back("avx512");
    levels.push_back(topo_search::avx512_level);
#endif
#if defined(TOPO_SEARCH_HAS_AVX2)
    names.emplace_back("avx2");
    levels.push_back(topo_search::avx2_level);
#endif
#if defined(TOPO_SEARCH_HAS_NEON)
    names.emplace_back("neon");
    levels.push_back(topo_search::neon_level);
#endif
    return levels;
}

std::vector<std::string> usable_levels() {
    std::vector<std::string> names;
    compiled_levels(names);
    std::vector<std::string> kept;
    for (const std::string& name : names)
        if (usable(name)) kept.push_back(name);
    return kept;
}

const Level& level_named(const std::string& name) {
    std::vector<std::string> names;
    const auto levels = compiled_levels(names);
    for (std::size_t i = 0; i < names.size(); ++i)
        if (names[i] == name && usable(name)) return *levels[i]();
    throw std::invalid_argument("level " + name + " was not compiled or does not run on this processor");
}

template <typename T>
T* checked(const Array<T>& array, int64_t size, const char* name) {
    if (static_cast<int64_t>(array.size()) != size)
        throw std::invalid_argument(std::string(name) + " has " + std::to_string(array.size()) + " entries, expected " +
                                    std::to_string(size));
    return array.data();
}

template <typename T>
T* checked(const std::optional<Array<T>>& array, int64_t size, const char* name) {
    return array ? checked(*array, size, name) : nullptr;
}

// A rollout and the arrays that it reads while it lives.
class Holder {
   public:
    Holder(const std::string& level, std::vector<int32_t> sizes, const std::vector<int32_t>& edges,
           std::vector<int32_t> seeing, std::vector<int32_t> cover, int form, int scheme, double half,
           std::vector<double> speeds, const std::vector<int>& relu, bool all_states, bool keep,
           bool fill_nan, double h, float series_scale, std::vector<float> series, int64_t state_budget,
           nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu> inputs, Floats input_weights,
           const Floats& bias, const Floats& area_weights, const Floats& forward, const std::optional<Floats>& backward,
           const std::optional<Floats>& matrix, const std::optional<Floats>& saturation,
           std::optional<Floats> initial, const std::optional<Array<const int64_t>>& lengths)
        : inputs_(inputs.cast()), input_weights_(input_weights.cast()) {
        if (initial) initial_ = initial->cast();
        if (form < static_cast<int>(Form::kEuler) || form > static_cast<int>(Form::kEdges))
            throw std::invalid_argument("form " + std::to_string(form) + " is not one of 1 to 4");
        if (!(h > 0 && h <= 1)) throw std::invalid_argument("h must lie in (0, 1]");
        Problem p{};
        p.form = static_cast<Form>(form);
        p.steps = static_cast<int64_t>(inputs.shape(0));
        p.batch = static_cast<int64_t>(inputs.shape(1));
        p.channels = static_cast<int64_t>(inputs.shape(2));
        if (sizes.empty() || p.steps < 1 || p.batch < 1) throw std::invalid_argument("no areas, steps or sequences");
        const int32_t areas = static_cast<int32_t>(sizes.size());
        for (const int32_t n : sizes) {
            if (n < 1) throw std::invalid_argument("an area has no units");
            units_ += n;
            area_weights_ += int64_t(n) * n;
        }
        const auto area_of = [&](int32_t area) {
            if (area < 0 || area >= areas)
                throw std::invalid_argument("area " + std::to_string(area) + " is not there");
            return area;
        };
        std::vector<uint8_t> covered(areas, 0);
        int64_t covered_units = 0;
        for (const int32_t area : cover) {
            covered[area_of(area)] = 1;
            covered_units += sizes[area];
        }
        int64_t inverses = 0;
        for (std::size_t e = 0; e + 1 < edges.size(); e += 2) {
            const int32_t i = area_of(edges[e]);
            const int32_t j = area_of(edges[e + 1]);
            if (i >= j) throw std::invalid_argument("edges must be pairs i < j");
            if (p.form == Form::kCover && !covered[i] && !covered[j])
                throw std::invalid_argument("an edge has no end in the cover");
            p.edges.emplace_back(i, j);
            coupling_ += int64_t(sizes[i]) * sizes[j];
            inverses += int64_t(std::min(sizes[i], sizes[j])) * std::min(sizes[i], sizes[j]);
        }
        p.sees_input.assign(areas, 0);
        for (const int32_t area : seeing) p.sees_input[area_of(area)] = 1;
        if (scheme < static_cast<int>(Scheme::kTurn) || scheme > static_cast<int>(Scheme::kMean))
            throw std::invalid_argument("scheme " + std::to_string(scheme) + " is not one of 0 to 2");
        p.scheme = static_cast<Scheme>(scheme);
        if (p.scheme != Scheme::kTurn && (p.form == Form::kEuler || p.form == Form::kEdges))
            throw std::invalid_argument("Euler and edge-wise steps have scheme 0");
        if (!(half > 0 && half <= h)) throw std::invalid_argument("half must lie in (0, h]");
        p.half = half;
        if (speeds.size() != sizes.size() || relu.size() != sizes.size())
            throw std::invalid_argument("speeds and relu must have one entry an area");
        for (const double speed : speeds)
            if (!(speed > 0 && h * speed <= 1 + 1e-12)) throw std::invalid_argument("h times a speed must lie in (0, 1]");
        p.speeds = std::move(speeds);
        for (const int is_relu : relu) p.relu.push_back(is_relu != 0);
        p.skew = !backward;
        p.all_states = all_states;
        p.keep = keep;
        p.fill_nan = fill_nan;
        p.h = h;
        p.series_scale = series_scale;
        p.state_budget = state_budget;
        p.inputs = inputs.data();
        p.input_weights = checked(input_weights, units_ * p.channels, "input_weights");
        p.bias = checked(bias, units_, "bias");
        p.area_weights = checked(area_weights, area_weights_, "area_weights");
        p.forward = checked(forward, coupling_, "forward");
        p.backward = checked(backward, coupling_, "backward");
        p.level = checked(saturation, units_, "saturation");
        p.initial = checked(initial, p.batch * units_, "initial");
        p.lengths = checked(lengths, p.batch, "lengths");
        if (p.lengths != nullptr)
            for (int64_t b = 0; b < p.batch; ++b)
                if (p.lengths[b] < 0 || p.lengths[b] > p.steps)
                    throw std::invalid_argument("a length lies outside 0 .. steps");
        if (p.form == Form::kCover) p.matrix = checked(matrix, covered_units * covered_units, "matrix");
        if (p.form == Form::kEdges) p.matrix = checked(matrix, inverses, "matrix");
        if (p.form == Form::kSeries && series.empty()) throw std::invalid_argument("the series has no coefficients");
        if (p.form != Form::kEuler && !p.skew) throw std::invalid_argument("a Cayley step takes a skew coupling");
        steps_ = p.steps;
        batch_ = p.batch;
        channels_ = p.channels;
        all_states_ = all_states;
        skew_ = p.skew;
        keep_ = keep;
        p.sizes = std::move(sizes);
        p.cover = std::move(cover);
        p.series = std::move(series);
        rollout_.emplace(p, level_named(level));
    }

    Rollout& rollout() { return *rollout_; }

    // The array of states, checked; nothing changes yet.
    float* output(const OutFloats& output) const {
        if (ran_) throw std::runtime_error("a rollout runs forward once");
        return checked(output, (all_states_ ? steps_ : 1) * batch_ * units_, "output");
    }

    void finish_forward() { ran_ = true; }

    // The arrays of a backward pass, checked; nothing changes yet.
    std::pair<const float*, Gradients> targets(const Floats& grad_output,
                                               const std::vector<std::optional<OutFloats>>& targets) const {
        if (!ran_ || !keep_ || done_)
            throw std::runtime_error("a rollout runs backward once, after forward, with its states kept");
        if (targets.size() != 7) throw std::invalid_argument("expected seven gradients");
        Gradients g{};
        g.inputs = checked(targets[0], steps_ * batch_ * channels_, "the gradient of inputs");
        g.input_weights = checked(targets[1], units_ * channels_, "the gradient of input_weights");
        g.bias = checked(targets[2], units_, "the gradient of bias");
        g.area_weights = checked(targets[3], area_weights_, "the gradient of area_weights");
        g.forward = checked(targets[4], coupling_, "the gradient of forward");
        g.backward = checked(targets[5], coupling_, "the gradient of backward");
        g.initial = checked(targets[6], batch_ * units_, "the gradient of initial");
        if (g.input_weights == nullptr || g.bias == nullptr || g.forward == nullptr || (g.backward == nullptr) != skew_)
            throw std::invalid_argument("a gradient is missing");
        return {checked(grad_output, (all_states_ ? steps_ : 1) * batch_ * units_, "grad_output"), g};
    }

    void finish_backward() { done_ = true; }

   private:
    nb::object inputs_, input_weights_, initial_;
    std::optional<Rollout> rollout_;
    int64_t units_ = 0, area_weights_ = 0, coupling_ = 0, steps_ = 0, batch_ = 0, channels_ = 0;
    bool all_states_ = false, skew_ = false, keep_ = false, ran_ = false, done_ = false;
};

void check_holders(const std::vector<Holder*>& holders, std::size_t arrays, const std::string& what) {
    if (holders.size() != arrays) throw std::invalid_argument("expected one " + what + " a rollout");
    for (std::size_t i = 0; i < holders.size(); ++i) {
        if (holders[i] == nullptr) throw std::invalid_argument("a rollout is None");
        for (std::size_t j = 0; j < i; ++j)
            if (holders[i] == holders[j]) throw std::invalid_argument("a rollout is given twice");
    }
}

void forward(const std::vector<Holder*>& holders, const std::vector<OutFloats>& outputs, int threads) {
    check_holders(holders, outputs.size(), "output");
    std::vector<float*> arrays;
    for (std::size_t i = 0; i < holders.size(); ++i) arrays.push_back(holders[i]->output(outputs[i]));
    std::vector<Rollout*> rollouts;
    for (std::size_t i = 0; i < holders.size(); ++i) {
        rollouts.push_back(&holders[i]->rollout());
        rollouts.back()->begin_forward(arrays[i]);
    }
    {
        nb::gil_scoped_release unlocked;
        topo_search::run_forward(rollouts, threads);
    }
    for (Holder* holder : holders) holder->finish_forward();
}

void backward(const std::vector<Holder*>& holders, const std::vector<Floats>& grad_outputs,
              const std::vector<std::vector<std::optional<OutFloats>>>& targets, int threads) {
    check_holders(holders, grad_outputs.size(), "grad_output");
    check_holders(holders, targets.size(), "set of targets");
    std::vector<std::pair<const float*, Gradients>> arrays;
    for (std::size_t i = 0; i < holders.size(); ++i) arrays.push_back(holders[i]->targets(grad_outputs[i], targets[i]));
    std::vector<Rollout*> rollouts;
    for (std::size_t i = 0; i < holders.size(); ++i) {
        holders[i]->finish_backward();
        rollouts.push_back(&holders[i]->rollout());
        rollouts.back()->begin_backward(arrays[i].first, arrays[i].second);
    }
    nb::gil_scoped_release unlocked;
    topo_search::run_backward(rollouts, threads);
}

}  // namespace

NB_MODULE(_topo_search_native, m) {
    m.doc() = "The compiled time loop; use topo_search.engine.rollout.";
    // A graph that is alive when the interpreter ends holds rollouts; that is no fault of anybody's.
    nb::set_leak_warnings(false);
    std::vector<std::string> names;
    compiled_levels(names);
    m.attr("INTERFACE") = kInterface;
    m.attr("LEVELS") = nb::tuple(nb::cast(names));
    m.def("usable_levels", &usable_levels, "Levels that were compiled and run on this processor, best first.");
    m.def("release_memory", &topo_search::release_memory, "Give kept buffers back; returns bytes.");
    nb::class_<Holder>(m, "Rollout")
        .def(nb::init<const std::string&, std::vector<int32_t>, const std::vector<int32_t>&, std::vector<int32_t>,
                      std::vector<int32_t>, int, int, double, std::vector<double>, const std::vector<int>&, bool, bool, bool,
                      double, float, std::vector<float>, int64_t,
                      nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>, Floats, const Floats&,
                      const Floats&, const Floats&, const std::optional<Floats>&, const std::optional<Floats>&,
                      const std::optional<Floats>&, std::optional<Floats>,
                      const std::optional<Array<const int64_t>>&>(),
             nb::kw_only(), nb::arg("level"), nb::arg("sizes"), nb::arg("edges"), nb::arg("seeing"), nb::arg("cover"),
             nb::arg("form"), nb::arg("scheme"), nb::arg("half"), nb::arg("speeds"), nb::arg("relu"), nb::arg("all_states"), nb::arg("keep"), nb::arg("fill_nan"),
             nb::arg("h"), nb::arg("series_scale"), nb::arg("series"), nb::arg("state_budget"), nb::arg("inputs"),
             nb::arg("input_weights"), nb::arg("bias"), nb::arg("area_weights"), nb::arg("forward"),
             nb::arg("backward").none(), nb::arg("matrix").none(), nb::arg("saturation").none(),
             nb::arg("initial").none(), nb::arg("lengths").none())
        .def_prop_ro("width", [](Holder& h) { return h.rollout().width(); })
        .def_prop_ro("segment", [](Holder& h) { return h.rollout().segment(); })
        .def_prop_ro("state_bytes", [](Holder& h) { return h.rollout().state_bytes(); });
    m.def("forward", &forward, nb::arg("rollouts"), nb::arg("outputs").noconvert(), nb::arg("threads"));
    m.def("backward", &backward, nb::arg("rollouts"), nb::arg("grad_outputs"), nb::arg("targets").noconvert(),
          nb::arg("threads"));
}
