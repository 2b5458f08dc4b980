#include "threads.hpp"

#include <system_error>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <dlfcn.h>
#include <link.h>

#include <cstring>
#endif

namespace topo_search {
namespace {

using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);

#if defined(__linux__)
int find_runtime(dl_phdr_info* info, std::size_t, void* found) {
    const char* slash = std::strrchr(info->dlpi_name, '/');
    const char* name = slash != nullptr ? slash + 1 : info->dlpi_name;
    if (std::strncmp(name, "libgomp", 7) != 0) return 0;
    void* library = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) return 0;
    *static_cast<Parallel*>(found) = reinterpret_cast<Parallel>(dlsym(library, "GOMP_parallel"));
    return *static_cast<Parallel*>(found) != nullptr ? 1 : 0;
}

// The team of threads that PyTorch's own operations use, if it is GNU OpenMP's. After an operation its threads wait
// actively for the next one; threads of ours would have to share the cores with them and take up to half longer.
Parallel shared_team() {
    static const Parallel team = [] {
        Parallel found = nullptr;
        dl_iterate_phdr(find_runtime, &found);
        return found;
    }();
    return team;
}
#else
Parallel shared_team() { return nullptr; }
#endif

}  // namespace

void on_threads(int threads, void (*work)(void*), void* data) {
    if (threads <= 1) {
        work(data);
        return;
    }
    if (const Parallel team = shared_team()) {
        team(work, data, static_cast<unsigned>(threads), 0);
        return;
    }
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) {
        try {
            others.emplace_back(work, data);
        } catch (const std::system_error&) {
            break;
        }
    }
    work(data);
    for (std::thread& thread : others) thread.join();
}

}  // namespace topo_search
