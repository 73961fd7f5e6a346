#include "handles.h"

#include <atomic>

#include "api.h"

namespace fdqc {
namespace {

std::atomic<int64_t> live{0};

}  // namespace

Counted::Counted() { live.fetch_add(1); }
Counted::~Counted() { live.fetch_sub(1); }

int64_t live_handles() noexcept { return live.load(); }

namespace api {

fdqc_status* live_handles(int64_t* out) noexcept {
  return guard([&] {
    require(out != nullptr, "live handles: out is NULL");
    *out = fdqc::live_handles();
  });
}

}  // namespace api
}  // namespace fdqc
