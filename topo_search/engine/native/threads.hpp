// Work on several threads at once.
#pragma once

namespace topo_search {

// Calls work(data) on up to `threads` threads, the caller's among them, and returns when all have come back. How many
// there were is not told: work that is left takes itself.
void on_threads(int threads, void (*work)(void*), void* data);

}  // namespace topo_search
